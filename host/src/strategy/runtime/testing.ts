// Owns what the tests of this room share: a decider over a synthetic pool with every port recorded, and strategies to run in it. Test support only;
// nothing in production imports it.

import { SeededRandom } from '@infermesh/proto';
import { HEADER_OUTPUT_OFFSET_WORD, OUTPUT_COUNT_WORD, OUTPUT_ROWS_WORD, type StrategyManifest } from '@infermesh/sdk';
import wabt from 'wabt';
import { openPolicy } from '../../fleet/placement.js';
import { HandClock } from '../../fleet/testing.js';
import type { ModelPool } from '../../router/ports.js';
import { admitModule } from '../admission/admit.js';
import { wasmEngine } from '../admission/engine.js';
import type { NativeEvents } from '../native/events.js';
import { deciderDefaults, WorkerDecider } from './decider.js';
import { Decision, type DecisionRecorder, type FallbackCause, type StrikeReport } from './decision.js';
import type { StrategyModule } from './instance.js';
import { CONTROL_BYTES, emptyPlan, GENERATION_WORD, type PoolPlan } from './plan.js';
import { createRig, type Rig } from './rig.js';

const tools = await wabt();

const manifest: StrategyManifest = {
	name: 'written',
	version: '1.0.0',
	kind: 'inference',
	abi: '1.0',
	description: '',
	columns: ['load'],
	hooks: ['rank'],
	config: [],
	stateBytes: 0,
	logBytes: 0,
	factors: [],
	topK: 4,
	hits: false,
	source: 'assembly/index.ts',
};

/** A strategy whose functions are given as text; `$frame` is what each hook is called with. Scanned and metered as any other. */
export function written(versionId: number, functions: string, more: Partial<StrategyManifest> = {}): StrategyModule {
	const text = `(module (import "env" "memory" (memory 1)) (global (export "__heap_base") i32 (i32.const 1024)) ${functions})`;
	const parsed = tools.parseWat('written.wat', text, { simd: true, bulk_memory: true, mutable_globals: true });
	const admitted = admitModule(new Uint8Array(parsed.toBinary({}).buffer), { memoryPages: 16, memoryPagesMax: 1024 });
	if (!admitted.ok) throw new Error(JSON.stringify(admitted.refusals));
	const full = { ...manifest, ...more };
	return {
		versionId,
		label: `${full.name}@${versionId}`,
		digest: admitted.digest,
		module: new wasmEngine.Module(admitted.wasm),
		manifest: full,
		heapBase: admitted.heapBase,
		config: new Uint32Array(0),
	};
}

/** Text of a `rank` that ranks the given rows with their position as score, and runs `first` before. */
export function rankRows(rows: readonly number[], first = ''): string {
	const at = (word: number): string => `(i32.add (local.get $out) (i32.const ${word * 4}))`;
	const scores = OUTPUT_ROWS_WORD + 16;
	return `(func (export "rank") (param $frame i32) (result i32) (local $out i32)
		(local.set $out (i32.add (local.get $frame) (i32.load offset=${HEADER_OUTPUT_OFFSET_WORD * 4} (local.get $frame))))
		${first}
		(i32.store ${at(OUTPUT_COUNT_WORD)} (i32.const ${rows.length}))
		${rows.map((row, i) => `(i32.store ${at(OUTPUT_ROWS_WORD + i)} (i32.const ${row})) (f32.store ${at(scores + i)} (f32.const ${i}))`).join('\n')}
		(i32.const 0))`;
}

export interface Shadowed {
	readonly versionId: number;
	readonly agreed: boolean;
	readonly cause: FallbackCause;
}

/** A decider with everything it tells recorded. All rows of its pool are ready. */
export class Harness {
	readonly rig: Rig;
	readonly pool: ModelPool;
	readonly decider: WorkerDecider;
	readonly clock = new HandClock();
	readonly out = new Decision();
	readonly decided: { readonly versionId: number; readonly cause: FallbackCause }[] = [];
	readonly shadowed: Shadowed[] = [];
	readonly strikes: StrikeReport[] = [];
	/** Called while a shadow's decision is being counted. */
	onShadowed: () => void = () => undefined;
	readonly enrolled: { readonly cohort: number; readonly cause: FallbackCause }[] = [];
	readonly #control = new SharedArrayBuffer(CONTROL_BYTES);
	readonly #deferred: (() => void)[] = [];
	#generation = 0;

	/** `recorder` is told of every decision, `native` of sandboxes. */
	constructor(
		rows = 8,
		options: Partial<typeof deciderDefaults> = {},
		recorder?: DecisionRecorder,
		native?: NativeEvents,
	) {
		this.rig = createRig(rows, 11);
		this.pool = testPool(rows);
		this.decider = new WorkerDecider(
			{ ...deciderDefaults, witnessEvery: 0, ...options, meshSeed: [1, 2] },
			{
				clock: this.clock,
				random: new SeededRandom(3, 4),
				table: this.rig.tableReader,
				counters: this.rig.counters,
				control: this.#control,
				metrics: {
					decided: (versionId, cause) => this.decided.push({ versionId, cause }),
					shadowed: (versionId, agreed, cause) => {
						this.shadowed.push({ versionId, agreed, cause });
						this.onShadowed();
					},
					shadowSkipped: () => undefined,
					witnessed: () => undefined,
				},
				defer: (task) => this.#deferred.push(task),
				onStrike: (strike) => this.strikes.push(strike),
				enrolled: (cohort, cause) => this.enrolled.push({ cohort, cause }),
				onLog: () => undefined,
				...(recorder === undefined ? {} : { recorder }),
				...(native === undefined ? {} : { native }),
			},
		);
		this.decider.runtimes.setPools([this.pool]);
	}

	/** Makes a plan take effect. */
	plan(common: Partial<PoolPlan>, byModel: Readonly<Record<string, PoolPlan>> = {}): void {
		const generation = ++this.#generation;
		const plans = [common, ...Object.values(byModel)];
		const named = plans.flatMap((plan) => [plan.activeVersionId, plan.canary?.versionId, plan.shadowVersionId]);
		const warm = new Set(named.filter((versionId) => versionId !== undefined));
		const plan = { ...emptyPlan, generation, warm, common: { ...emptyPlan.common, ...common } };
		this.decider.runtimes.prepare({ ...plan, byModel: new Map(Object.entries(byModel)) });
		Atomics.store(new Int32Array(this.#control), GENERATION_WORD, generation);
	}

	add(...strategies: readonly StrategyModule[]): void {
		for (const strategy of strategies) this.decider.runtimes.addStrategy(strategy);
	}

	/** Decides the next random request. */
	decide(excluded: readonly number[] = [], pool = this.pool): Decision {
		this.rig.nextRequest();
		this.decider.decide(pool, this.rig.features, this.rig.hits, excluded, this.out);
		return this.out;
	}

	settle(): void {
		for (const task of this.#deferred.splice(0)) task();
	}
}

export function testPool(rows: number, more: Partial<ModelPool> = {}): ModelPool {
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
	return { index: 0, model: 'm', modelId: 1, revision: undefined, policy: openPolicy, targets, ...more };
}
