// Owns the taking down of parts that were started one after the other: one that fails to end is told of, and keeps none of the others from ending.

export type Closer = () => Promise<void> | void;

/** Ends all, in the order given. Never rejects. */
export async function closeAll(closers: Iterable<Closer>, failed: (error: unknown) => void): Promise<void> {
	for (const closer of closers) {
		try {
			await closer();
		} catch (error) {
			failed(error);
		}
	}
}
