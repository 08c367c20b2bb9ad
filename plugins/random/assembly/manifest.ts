// Generated from strategy.yaml by the build. Do not edit.

/** The columns this strategy reads. */
export class columns {
}

/** Its configuration. */
export class config {
}

/** Most rows it ranks. */
export const TOP_K: u32 = 4;
export const FACTOR_COUNT: u32 = 0;
