// Owns how much of a model's targets rules about devices may take out. Pure. Rules may be wrong of many devices at once (a driver that reports nonsense, a hot
// room), and a pool without targets serves nobody: what they would take beyond the bound serves as degraded. An operator's word is not bounded, and counts.
// The bound is the mesh's: every node counts what all nodes say of devices, in one order, so that all come to the same targets.

/** A target that its devices' standing would take out. */
export interface Condemned {
	readonly id: string;
	/** Models it serves. */
	readonly models: readonly string[];
	/** An operator has taken its device out. */
	readonly byHand: boolean;
	/** Since when, mesh clock: who came first is out. */
	readonly sinceMs: number;
}

/** What one node says of a target whose devices it hears of. */
export interface Said {
	readonly target: string;
	readonly byHand: boolean;
	readonly sinceMs: number;
}

/**
 * What all nodes say together, whoever asks: a target is out if any node says so, by hand if any says that, since the earliest. `modelsOf`: undefined for a
 * target that is not here.
 */
export function together(
	said: Iterable<readonly Said[]>,
	modelsOf: (target: string) => readonly string[] | undefined,
): readonly Condemned[] {
	const all = new Map<string, Condemned>();
	for (const one of said)
		for (const { target, byHand, sinceMs } of one) {
			const models = modelsOf(target);
			if (models === undefined) continue;
			const known = all.get(target);
			all.set(target, {
				id: target,
				models,
				byHand: byHand || known?.byHand === true,
				sinceMs: Math.min(sinceMs, known?.sinceMs ?? sinceMs),
			});
		}
	return [...all.values()];
}

/** Shares are of floats: a third of three is one. */
const EPSILON = 1e-9;

/**
 * The targets that stay in use although rules would take them out. `poolSizes`: targets by model; `ratioMax`: share of each that may be out, rounded down,
 * so that below one half a pool of two is never touched.
 */
export function heldBack(
	condemned: readonly Condemned[],
	poolSizes: ReadonlyMap<string, number>,
	ratioMax: number,
): ReadonlySet<string> {
	const out = new Map<string, number>();
	const take = ({ models }: Condemned): void => {
		for (const model of models) out.set(model, (out.get(model) ?? 0) + 1);
	};
	const fits = (model: string): boolean =>
		(out.get(model) ?? 0) + 1 <= Math.floor(ratioMax * (poolSizes.get(model) ?? 0) + EPSILON);
	const back = new Set<string>();
	for (const target of condemned) if (target.byHand) take(target);
	const byRules = condemned.filter(({ byHand }) => !byHand);
	const inOrder = byRules.toSorted((a, b) => a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1));
	for (const target of inOrder) {
		if (target.models.every(fits)) take(target);
		else back.add(target.id);
	}
	return back;
}
