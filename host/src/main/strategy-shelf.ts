// Owns which strategies a node shows: a router those it has loaded, as they stand in it; any other node those the mesh's records name, of which it knows
// neither strikes nor quarantine.
import assert from 'node:assert';
import type { StrategyView } from '../admin/schemas.js';
import type { StrategyRecord } from '../records/kinds.js';
import type { Stored } from '../records/records.js';
import { isNative } from '../strategy/native/code.js';
import type { LoadedStrategy, StrategyManager } from '../strategy/registry/manager.js';
import { stagingOf } from '../strategy/registry/registry.js';
import { activeLabel, previousLabels, type Staging, WHOLE_MESH } from '../strategy/registry/staging.js';
import { LEAST_QUEUE_NAME } from '../strategy/runtime/fallback.js';
import type { MeshState } from './mesh-state.js';

export interface StrategyShelf {
	list(): StrategyView[];
	/** By label. Throws IM_STRATEGY_UNKNOWN. */
	view(label: string): StrategyView;
	/** What decides where no model says otherwise. */
	activeLabel(): string;
}

export interface ShelfParts {
	/** Undefined where no router runs. */
	readonly manager: StrategyManager | undefined;
	readonly state: Pick<MeshState, 'strategies' | 'staging' | 'registry' | 'gradeOf'>;
	/** Budget of one decision for the largest pool now. */
	readonly fuelBudget: () => number;
	readonly nowMs: () => number;
}

/** Stage of a label, and for which models; an active one outranks the candidate of an experiment, that a canary, a canary a shadow. `known`: the labels that can decide. */
function stageIn(
	staging: Staging,
	known: ReadonlySet<string>,
	label: string,
): Pick<StrategyView, 'stage' | 'models' | 'canaryPercent' | 'previous'> {
	const scopes = [...staging];
	const where = (has: (scope: (typeof scopes)[number][1]) => boolean): string[] =>
		scopes.filter(([, scope]) => has(scope)).map(([name]) => name);
	const active = where((scope) => activeLabel(scope, known) === label);
	const canary = where((scope) => scope.canary?.label === label);
	const shadow = where((scope) => scope.shadow === label);
	const tried = where((scope) => scope.experiment?.candidate === label);
	const [stage, found] =
		active.length > 0
			? ['active', active]
			: tried.length > 0
				? ['experiment', tried]
				: canary.length > 0
					? ['canary', canary]
					: shadow.length > 0
						? ['shadow', shadow]
						: ['loaded', []];
	const percent = scopes.find(([, scope]) => scope.canary?.label === label)?.[1].canary?.percent;
	return {
		stage,
		models: found.filter((name) => name !== WHOLE_MESH),
		canaryPercent: percent ?? null,
		previous: previousLabels(staging).has(label),
	};
}

const versionOf = (label: string): string => label.slice(label.indexOf('@') + 1);

export function strategyShelf({ manager, state, fuelBudget, nowMs }: ShelfParts): StrategyShelf {
	if (manager === undefined) return recordedShelf(state, fuelBudget);
	const origin = (label: string): Pick<StrategyView, 'grade' | 'signedBy'> => ({
		grade: state.gradeOf(label),
		signedBy: state.strategies.get(label)?.value.signature?.key ?? null,
	});
	const view = (loaded: LoadedStrategy): StrategyView => {
		const { strategy, report, quarantine } = loaded;
		const known = new Set(manager.list().map((one) => one.strategy.label));
		const standing = stageIn(manager.staging, known, strategy.label);
		const isQuarantined = manager.isQuarantined(loaded);
		return {
			name: strategy.manifest.name,
			version: versionOf(strategy.label),
			digest: strategy.digest,
			...standing,
			stage: isQuarantined ? 'quarantined' : standing.stage,
			strikes: quarantine.strikesMs.length,
			quarantinedForMs: isQuarantined ? Math.ceil(quarantine.untilMs - nowMs()) : null,
			loadedAt: new Date(loaded.loadedWallMs).toISOString(),
			bytes: report.moduleBytes,
			...origin(strategy.label),
			runs: isNative(strategy.module) ? strategy.module.native : 'wasm',
			fuelBudget: fuelBudget(),
		};
	};
	return {
		list: () => manager.list().map(view),
		view: (label) => view(manager.find(label)),
		activeLabel: () => manager.active(WHOLE_MESH) ?? LEAST_QUEUE_NAME,
	};
}

function recordedShelf(state: ShelfParts['state'], fuelBudget: () => number): StrategyShelf {
	const { strategies, staging, registry } = state;
	const known = (): ReadonlySet<string> => new Set(strategies.all().map(({ id }) => id));
	const view = ({ id: label, value }: Stored<StrategyRecord>): StrategyView => ({
		name: label.slice(0, label.lastIndexOf('@')),
		version: versionOf(label),
		digest: value.digest,
		...stageIn(stagingOf(staging.all()), known(), label),
		strikes: 0,
		quarantinedForMs: null,
		loadedAt: new Date(value.loadedAtMs).toISOString(),
		bytes: value.bytes,
		grade: state.gradeOf(label),
		signedBy: value.signature?.key ?? null,
		runs: value.native ?? 'wasm',
		fuelBudget: fuelBudget(),
	});
	return {
		list: () => strategies.all().map(view),
		view(label) {
			const found = strategies.get(registry.find(label));
			assert(found !== undefined, 'the registry finds what the mirror has');
			return view(found);
		},
		activeLabel: () => activeLabel(stagingOf(staging.all()).get(WHOLE_MESH), known()) ?? LEAST_QUEUE_NAME,
	};
}
