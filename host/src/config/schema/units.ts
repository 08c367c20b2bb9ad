// Owns the ranges that sections of the configuration share: milliseconds of a day, bytes, ports.
export const MS = { unit: 'ms', min: 1, max: 86_400_000 } as const;

export const BYTES = { unit: 'bytes', min: 1 } as const;

export const PORT = { max: 65_535 } as const;
