// Owns the grades of trust in a strategy's origin, and their order.

/**
 * `unsigned`: nobody known vouches for it. `signed`: a key that the mesh knows has signed it. `trusted`: so has a key whose strategies may also run
 * inside the process, where nothing contains them.
 */
export const grades = ['unsigned', 'signed', 'trusted'] as const;
export type Grade = (typeof grades)[number];

/** Whether `grade` is at least `wanted`. */
export function reaches(grade: Grade, wanted: Grade): boolean {
	return grades.indexOf(grade) >= grades.indexOf(wanted);
}
