// Owns the `grpc-timeout` header: up to eight digits and a unit.

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const DIGITS_MAX = 99_999_999;

/** Milliseconds of a header; undefined when it is none. */
export function parseTimeout(text: string): number | undefined {
	const [, digits, unit] = TIMEOUT.exec(text) ?? [];
	return digits === undefined || unit === undefined ? undefined : Number(digits) * (UNIT_MS[unit] as number);
}

/** A header for what is left, never more than it. At least a millisecond: what has passed is not sent. */
export function formatTimeout(leftMs: number): string {
	const ms = Math.max(1, Math.floor(leftMs));
	return ms <= DIGITS_MAX ? `${ms}m` : `${Math.min(DIGITS_MAX, Math.floor(ms / 1000))}S`;
}
