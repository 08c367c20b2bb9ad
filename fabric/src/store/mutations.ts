// Owns the names of known bugs of the store that can be switched on, so that tests and the simulation can prove they notice each of them.
// Empty outside the proof.

export const storeMutations = [
	/** A command that is proposed again takes effect again. */
	'apply-requests-again',
	/** An expiry decided before a renewal ends the lease after it. */
	'expire-renewed-leases',
	/** A member that took a snapshot has forgotten which requests it has seen. */
	'snapshot-without-requests',
] as const;

export type StoreMutation = (typeof storeMutations)[number];
