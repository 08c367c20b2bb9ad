// Owns asking many nodes without asking all of them at once.
const ASKED_AT_ONCE = 16;

/** Resolves when `ask` has ended for each. It must not reject. */
export async function askAll<T>(items: readonly T[], ask: (item: T) => Promise<void>): Promise<void> {
	const waiting = [...items];
	const next = async (): Promise<void> => {
		for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await ask(item);
	};
	await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, items.length) }, next));
}
