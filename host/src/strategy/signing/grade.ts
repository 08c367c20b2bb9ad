// Owns the grades of trust in a strategy's origin, and their order.

/**
 * `unsigned`: nobody known vouches for it. `signed`: a key that the mesh knows has signed it. `trusted`: so has a key whose strategies may also run
 * inside the process, where nothing contains them.
 */
export const grades = ['unsigned', 'signed', 'trusted'] as const;
export type Grade = (typeof grades)[number];

/** Its place in the order, from 0. */
export function rankOf(grade: Grade): number {
	return grades.indexOf(grade);
}

/** Whether `grade` is at least `wanted`. */
export function reaches(grade: Grade, wanted: Grade): boolean {
	return rankOf(grade) >= rankOf(wanted);
}

/** Whose libraries may run inside the process: those of keys that are `trusted`, or nobody's. */
export const inlineRules = ['never', 'trusted'] as const;
export type InlineRule = (typeof inlineRules)[number];
