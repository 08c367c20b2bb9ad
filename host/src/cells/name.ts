// Owns what a cell may be called: names of cells stand in ids of targets and in labels.

export const cellNamePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
