// Owns what tests of experiments on running meshes share: a small slow fleet, clients that keep it busy, a strategy that is plainly worse, and short blocks.
import { MODEL, type Teardown } from './mesh.js';
import { strategyFrom } from './strategies.js';
import { ask } from './traffic.js';

/** Two requests at a time on each of four engines: whoever sends all to one makes them wait. */
export const ENGINES = 4;
export const engine = { model: { sequencesMax: 1 } };
/** The router's own bound on an engine's queue would hide what a strategy does wrong. */
export const flow = { flow: { target_queue_max: 64 } };
const CLIENTS = 12;
const TOKENS = 8;
export const SPEED = 0.5;

/** Sends everything to one engine, and names no other. */
export const onlyFirst = strategyFrom(
	'name: only_first\nversion: 1.0.0\nabi: "1.0"\ncolumns: [load]\n',
	`import { begin, nextEligible, putRanked, route } from 'infermesh';
export { init } from 'infermesh';

export function rank(frame: usize): i32 {
	begin(frame);
	const row = nextEligible(0);
	if (row < 0) return 1;
	putRanked(0, row, 0);
	return route(1);
}
`,
);

/** Clients that ask again as soon as they are answered, until the test ends. */
export function startTraffic(t: Teardown, urls: () => readonly string[]): { readonly failed: string[] } {
	const traffic = { on: true, failed: [] as string[] };
	let seed = 0;
	const one = async (client: number): Promise<void> => {
		while (traffic.on) {
			const all = urls();
			try {
				const answer = await ask({
					url: all[client % all.length] ?? '',
					seed: seed++ % 50,
					tokens: TOKENS,
					stream: true,
				});
				if (!answer.complete) traffic.failed.push(`${answer.status} ${answer.error ?? ''}`);
			} catch (error) {
				traffic.failed.push(String(error));
				await new Promise((resolve) => setTimeout(resolve, 50));
			}
		}
	};
	const all = Promise.all(Array.from({ length: CLIENTS }, (_, client) => one(client)));
	t.teardown(async () => {
		traffic.on = false;
		await all;
	});
	return traffic;
}

/** Blocks as short as the engines allow, and a chance of a wrong verdict that one experiment can have: what is planted is plain. */
export const quick = {
	kind: 'switchback',
	model: MODEL,
	blockMs: 2000,
	burnInMs: 800,
	settleMs: 2000,
	blockRequestsMin: 3,
	pairsMax: 40,
	alpha: 0.2,
	clip: 1,
	truncation: 0.9,
	objectives: { ttftMs: 700, tpotMs: 1000 },
} as const;
