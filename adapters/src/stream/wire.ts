// Owns the way of deltas over gRPC: the four kinds of report, and how one that came from outside is made sound again. Whoever may report is trusted to
// tell the truth, not to keep bounds: numbers are finite and in range, lists and texts bounded, names known, or they are left out and noted as unread.
import {
	type CommStatsDelta,
	commBounds,
	commSources,
	communicatorStates,
	deltaBounds,
	type GpuStateDelta,
	type IoStateDelta,
	ioBounds,
	ioSources,
	linkLayers,
	type ModelStateDelta,
	rankTroubles,
} from '@infermesh/proto';
import type * as wire from '@infermesh/proto/grpc/telemetry/v1/telemetry';
import { printable } from '../json-values.js';

/** The deltas by the kind of their stream. */
export interface DeltaOf {
	readonly model: ModelStateDelta;
	readonly gpu: GpuStateDelta;
	readonly comm: CommStatsDelta;
	readonly io: IoStateDelta;
}
export type ReportKind = keyof DeltaOf;
export const reportKinds = ['model', 'gpu', 'comm', 'io'] as const satisfies readonly ReportKind[];

/** A delta with what it is about. `target` is the id of a target, for `model` only. */
export interface Report<K extends ReportKind = ReportKind> {
	readonly kind: K;
	readonly target: string;
	readonly delta: DeltaOf[K];
}

interface WireStates {
	readonly model: wire.ModelState;
	readonly gpu: wire.GpuState;
	readonly comm: wire.CommStats;
	readonly io: wire.IoState;
}
export type WireState = WireStates[ReportKind];

/** Fields of a delta that its message does not have, which is a mistake in telemetry.proto: none, or this does not compile. */
type Untold<K extends ReportKind> = Exclude<keyof DeltaOf[K], keyof WireStates[K] | 'observedAtMs'>;
const allTold: { readonly [K in ReportKind]: [Untold<K>] extends [never] ? true : never } = {
	model: true,
	gpu: true,
	comm: true,
	io: true,
};

/** The message of a delta: but for the time, which goes as an age, the same fields under the same names. */
export function toWire<K extends ReportKind>(kind: K, delta: DeltaOf[K]): WireState {
	const { observedAtMs: _at, ...state } = delta;
	const lists: Record<string, unknown> = {};
	if (allTold[kind]) for (const name of Object.keys(rules[kind].lists)) lists[name] = [];
	const known = {
		lorasKnown: 'loras' in delta && delta.loras !== undefined,
		xidsKnown: 'xids' in delta && delta.xids !== undefined,
	};
	const message = { ...lists, ...known, ...state } as unknown as WireState;
	// Lists within lists: an absent one is an empty one on the wire.
	if ('communicators' in message)
		message.communicators = message.communicators.map(({ errors, ...stat }) => ({ ...stat, errors: errors ?? [] }));
	return message;
}

/** What a message of one kind may hold. A number must not be negative unless it is in `signed`, nor above 1 if it is in `ratios`. */
interface Rules {
	readonly textMax: number;
	readonly ratios: ReadonlySet<string>;
	readonly signed: ReadonlySet<string>;
	/** Lists with their bounds. */
	readonly lists: Readonly<Record<string, number>>;
	/** Texts that are one of a set. */
	readonly names: Readonly<Record<string, readonly string[]>>;
}

const unreadMax = deltaBounds.unreadMax;
const rules: { readonly [K in ReportKind]: Rules } = {
	model: {
		textMax: 256,
		ratios: new Set(['kvUsage', 'utilization', 'prefixHitRatio', 'errorRatio']),
		signed: new Set(),
		lists: {
			loras: deltaBounds.lorasMax,
			models: deltaBounds.modelsMax,
			ranks: deltaBounds.ranksMax,
			unread: unreadMax,
		},
		names: {},
	},
	gpu: {
		textMax: 256,
		ratios: new Set(['shareRatio', 'computeRatio', 'memoryRatio', 'tensorRatio']),
		signed: new Set(['temperatureC', 'memoryTemperatureC', 'slowdownTemperatureC']),
		lists: { xids: deltaBounds.xidsMax, unread: unreadMax },
		names: { vendor: ['nvidia', 'amd'] },
	},
	comm: {
		textMax: commBounds.textCharsMax,
		ratios: new Set(['share', 'utilisation']),
		signed: new Set(['from']),
		lists: {
			collectives: commBounds.collectivesMax,
			communicators: commBounds.communicatorsMax,
			ranks: commBounds.ranksMax,
			links: commBounds.linksMax,
			paths: commBounds.pathsMax,
			warnings: commBounds.warningsMax,
			errors: commBounds.errorsMax,
			to: commBounds.branchesMax,
			unread: commBounds.unreadMax,
		},
		names: {
			source: commSources,
			state: communicatorStates,
			trouble: rankTroubles,
			layer: linkLayers,
			kind: ['ring', 'tree', 'channel'],
		},
	},
	io: {
		textMax: ioBounds.nameCharsMax,
		ratios: new Set(['diskUtilisation']),
		signed: new Set(),
		lists: { errors: ioBounds.errorsMax, unread: ioBounds.unreadMax },
		names: { source: ioSources },
	},
};

/** A message that cannot be taken at all, and why. */
export interface Unsound {
	readonly problem: string;
}

/** The delta of a message as it was observed at `observedAtMs`; what of it is not sound is left out. Never throws. */
export function fromWire<K extends ReportKind>(kind: K, state: WireState, observedAtMs: number): DeltaOf[K] | Unsound {
	const { lorasKnown, xidsKnown, ...fields } = state as unknown as Record<string, unknown>;
	if (kind === 'model' && lorasKnown !== true) delete fields['loras'];
	// Of these, none is as good as not seen.
	for (const name of kind === 'model' ? ['models', 'ranks'] : [])
		if ((fields[name] as readonly unknown[] | undefined)?.length === 0) delete fields[name];
	if (kind === 'gpu' && xidsKnown !== true) delete fields['xids'];
	const cleaner = new Cleaner(rules[kind]);
	const clean = cleaner.record(fields, '');
	if (clean === undefined) return { problem: cleaner.problems[0] ?? 'nothing in it is sound' };
	if (kind === 'gpu' && (clean['gpuUuid'] ?? '') === '') return { problem: 'gpuUuid is empty' };
	const told = Array.isArray(clean['unread']) ? (clean['unread'] as string[]) : [];
	const unread = [...told, ...cleaner.problems].slice(0, unreadMax);
	return { ...clean, observedAtMs, unread } as unknown as DeltaOf[K];
}

class Cleaner {
	readonly problems: string[] = [];
	readonly #rules: Rules;

	constructor(rules: Rules) {
		this.#rules = rules;
	}

	/** Undefined when a text that says what the record is about is not one of those known. */
	record(fields: Readonly<Record<string, unknown>>, place: string): Record<string, unknown> | undefined {
		const clean: Record<string, unknown> = {};
		for (const [name, value] of Object.entries(fields)) {
			if (value === undefined || value === null) continue;
			const known = this.#rules.names[name];
			if (known !== undefined && !(known as readonly unknown[]).includes(value)) {
				this.#problem(
					`${place}${name}: "${typeof value === 'string' ? printable(value, 40) : typeof value}" is not known`,
				);
				return undefined;
			}
			const sound = this.#value(name, value, place);
			const absent = sound === undefined || (place !== '' && Array.isArray(sound) && sound.length === 0);
			if (!absent) clean[name] = sound;
		}
		return clean;
	}

	#value(name: string, value: unknown, place: string): unknown {
		if (typeof value === 'number') return this.#number(name, value, place);
		if (typeof value === 'string') return printable(value, this.#rules.textMax);
		if (typeof value === 'boolean') return value;
		if (Array.isArray(value)) return this.#list(name, value, place);
		return typeof value === 'object' && value !== null
			? this.record(value as Readonly<Record<string, unknown>>, `${place}${name}.`)
			: undefined;
	}

	#number(name: string, value: number, place: string): number | undefined {
		const { ratios, signed } = this.#rules;
		const low = signed.has(name) ? Number.NEGATIVE_INFINITY : 0;
		const fits = Number.isFinite(value) && value >= low && (!ratios.has(name) || value <= 1.01);
		if (fits) return ratios.has(name) ? Math.min(1, value) : value;
		this.#problem(`${place}${name}: ${value} is out of range`);
		return undefined;
	}

	#list(name: string, values: readonly unknown[], place: string): readonly unknown[] {
		const max = this.#rules.lists[name] ?? 0;
		if (values.length > max) this.#problem(`${place}${name}: ${values.length - max} more than fit`);
		return values
			.slice(0, max)
			.map((value) => this.#value(name, value, place))
			.filter((value) => value !== undefined);
	}

	#problem(text: string): void {
		if (this.problems.length < unreadMax) this.problems.push(text);
	}
}
