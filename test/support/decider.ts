// Owns a decider outside any mesh: the real one, over a synthetic pool, with every port recorded. Also the way around conformance, for modules
// that admission's scan lets through but its trial would refuse.
import {
	type Admit,
	type AdmitOptions,
	admitModule,
	blankReport,
	CONTROL_BYTES,
	createRig,
	Decision,
	type DecisionRecorder,
	deciderDefaults,
	emptyPlan,
	type FallbackCause,
	fuelDefaults,
	GENERATION_WORD,
	type ModelPool,
	openPolicy,
	type Rig,
	type RoutingPlan,
	type StrategyModule,
	type StrikeReport,
	systemClock,
	systemRandom,
	WorkerDecider,
	wasmEngine,
} from '@infermesh/host';
import { encodeConfig, readManifest } from '@infermesh/sdk';

/** As the mesh admits: an instance's own size decides how much memory it gets. */
const admission: AdmitOptions = { memoryPages: 16, memoryPagesMax: 1024 };

/** Scans and meters a module without trying it out; undefined when the scan refuses it. */
export function scanned(wasm: Uint8Array, versionId: number): StrategyModule | undefined {
	const result = admitModule(wasm, admission);
	if (!result.ok) return undefined;
	const manifest = readManifest(wasm);
	return {
		versionId,
		label: `${manifest.name}@${manifest.version}`,
		digest: result.digest,
		module: new wasmEngine.Module(result.wasm),
		manifest,
		heapBase: result.heapBase,
		config: encodeConfig(manifest),
	};
}

/** An admission for a whole mesh that scans only. */
export const admitWithoutTrial: Admit = (bytes) => {
	const result = admitModule(bytes, admission);
	const manifest = readManifest(bytes);
	const report = { ...blankReport(bytes), name: manifest.name, version: manifest.version, kind: manifest.kind };
	if (!result.ok) return Promise.resolve({ report, admitted: undefined });
	const { wasm, heapBase, digest, offsetMap, functionNames } = result;
	const admitted = { wasm, manifest, heapBase, digest, symbols: { offsetMap, functionNames } };
	return Promise.resolve({ report: { ...report, admitted: true, digest }, admitted });
};

export interface Decided {
	readonly versionId: number;
	readonly cause: FallbackCause;
	readonly fuel: number;
}

export class DeciderHarness {
	readonly rig: Rig;
	readonly pool: ModelPool;
	readonly decider: WorkerDecider;
	readonly decision = new Decision();
	readonly decided: Decided[] = [];
	readonly strikes: StrikeReport[] = [];
	readonly witnessed: boolean[] = [];
	readonly logs: string[] = [];
	readonly #deferred: (() => void)[] = [];
	readonly #control = new SharedArrayBuffer(CONTROL_BYTES);
	#generation = 0;

	/** `recorder` is told of every decision. */
	constructor(rows: number, seed: number, options: Partial<typeof deciderDefaults> = {}, recorder?: DecisionRecorder) {
		this.rig = createRig(rows, seed);
		const targets = Array.from({ length: rows }, (_, row) => ({
			id: `t${row}`,
			tableRow: row,
			generation: 0,
			origin: 'http://127.0.0.1:1',
			pathPrefix: '',
			apiKey: undefined,
			runtime: 'test',
			upstreamModel: undefined,
		}));
		this.pool = { index: 0, model: 'm', modelId: 1, revision: undefined, policy: openPolicy, targets };
		this.decider = new WorkerDecider(
			{ ...deciderDefaults, witnessEvery: 0, ...options, meshSeed: [1, 2] },
			{
				clock: systemClock,
				random: systemRandom(),
				table: this.rig.tableReader,
				counters: this.rig.counters,
				control: this.#control,
				metrics: {
					decided: (versionId, cause, _durationNs, fuel) => this.decided.push({ versionId, cause, fuel }),
					shadowed: () => undefined,
					shadowSkipped: () => undefined,
					witnessed: (_versionId, agreed) => this.witnessed.push(agreed),
				},
				defer: (task) => this.#deferred.push(task),
				onStrike: (strike) => this.strikes.push(strike),
				onLog: (_label, text) => this.logs.push(text),
				...(recorder === undefined ? {} : { recorder }),
			},
		);
		this.decider.runtimes.setPools([this.pool]);
	}

	get fuelBudget(): number {
		return fuelDefaults.base + fuelDefaults.perTarget * this.rig.rows;
	}

	/** Makes a plan with this version active take effect. */
	activate(strategy: StrategyModule, more: Partial<RoutingPlan> = {}, shadowVersionId?: number): void {
		this.decider.runtimes.addStrategy(strategy);
		const { versionId } = strategy;
		const generation = ++this.#generation;
		const common = { ...emptyPlan.common, activeVersionId: versionId, shadowVersionId };
		this.decider.runtimes.prepare({ ...emptyPlan, common, warm: new Set([versionId]), generation, ...more });
		Atomics.store(new Int32Array(this.#control), GENERATION_WORD, generation);
	}

	/** Decides the next random request, or the same one again. */
	decide(next = true, excluded: readonly number[] = []): Decision {
		if (next) this.rig.nextRequest();
		this.decider.decide(this.pool, this.rig.features, this.rig.hits, excluded, this.decision);
		return this.decision;
	}

	/** Runs what was put off until after the decision. */
	settle(): void {
		for (const task of this.#deferred.splice(0)) task();
	}
}
