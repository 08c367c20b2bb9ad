// Owns how coarse the prompt blocks of a recording are: worker and agent must say the same.

/** Blocks of the prefix index to one block of a recorded prompt. */
export const BLOCK_STEP = 8;
