// Owns what an operator or program sees of changes of the mesh: records of replicated state in the order of their revisions, secrets left out.
import type { StoreEvent } from '@infermesh/fabric';
import type { TSchema } from 'typebox';
import type { ExperimentRecord } from '../experiments/record.js';
import { type ApiKey, type RecordKind, recordKinds, type StoredTarget } from '../records/kinds.js';
import { decodeRecord, idOf } from '../records/records.js';

export const eventKinds = [
	'node',
	'lifecycle',
	'removal',
	'policy',
	'target',
	'strategy',
	'staging',
	'tenant',
	'key',
	'signing-key',
	'lineage',
	'degradation',
	'gpu',
	'experiment',
] as const;
export type EventKind = (typeof eventKinds)[number];

export interface MeshEvent {
	readonly revision: number;
	readonly kind: EventKind;
	/** Of the record; `KIND/NAME` of a policy. */
	readonly id: string;
	readonly change: 'put' | 'delete';
	/** The record after the change, without secrets; null after a deletion, or when this version does not understand it. */
	readonly value: unknown;
	/** Another event of the same revision follows: who resumes after this one must name the revision before. */
	readonly more: boolean;
}

/** Events of whole revisions, in order; none at all is a sign of life. */
export interface EventBatch {
	readonly events: readonly MeshEvent[];
	/** Everything up to and with it has been told. */
	readonly revision: number;
}

interface Shown {
	readonly kind: EventKind;
	readonly record: RecordKind<TSchema>;
	/** Before the record's own id. */
	readonly prefix: string;
	readonly withoutSecrets?: (value: never) => unknown;
}

const policy = (name: string, record: Shown['record']): Shown => ({ kind: 'policy', record, prefix: `${name}/` });

/** What subscribers see; records of how the mesh does its work are left out. */
const shown: readonly Shown[] = [
	{ kind: 'node', record: recordKinds.nodes, prefix: '' },
	{ kind: 'lifecycle', record: recordKinds.lifecycle, prefix: '' },
	{ kind: 'removal', record: recordKinds.removals, prefix: '' },
	policy('placement', recordKinds.placements),
	policy('quota', recordKinds.quotas),
	policy('slo', recordKinds.slos),
	policy('route', recordKinds.routes),
	{ kind: 'target', record: recordKinds.targets, prefix: '', withoutSecrets: targetWithoutSecrets },
	{ kind: 'strategy', record: recordKinds.strategies, prefix: '' },
	{ kind: 'staging', record: recordKinds.staging, prefix: '' },
	{ kind: 'tenant', record: recordKinds.tenants, prefix: '' },
	{ kind: 'key', record: recordKinds.apiKeys, prefix: '', withoutSecrets: keyWithoutSecrets },
	{ kind: 'signing-key', record: recordKinds.signingKeys, prefix: '' },
	{ kind: 'lineage', record: recordKinds.lineage, prefix: '' },
	{ kind: 'degradation', record: recordKinds.degradations, prefix: '' },
	{ kind: 'gpu', record: recordKinds.gpuStandings, prefix: '' },
	{ kind: 'experiment', record: recordKinds.experiments, prefix: '', withoutSecrets: experimentInBrief },
];

function targetWithoutSecrets({ spec, ...rest }: StoredTarget): unknown {
	const { apiKey: _secret, ...open } = spec;
	return { ...rest, spec: open };
}

/** Evidence and counts are for reports: subscribers hear where it stands. */
function experimentInBrief({ id, model, design, state, nextBlock, trip, end }: ExperimentRecord): unknown {
	const { kind, baseline, candidate } = design;
	return { id, kind, model, baseline, candidate, state, nextBlock, trip: trip ?? null, end: end ?? null };
}

function keyWithoutSecrets({ sha256: _secret, ...open }: ApiKey): unknown {
	return open;
}

type Untold = Omit<MeshEvent, 'more'>;

function told(event: StoreEvent): Untold | undefined {
	const key = event.kind === 'put' ? event.current.key : event.key;
	const revision = event.kind === 'put' ? event.current.modRevision : event.modRevision;
	const found = shown.find(({ record }) => key.startsWith(record.prefix));
	if (found === undefined) return undefined;
	const { kind, record, prefix, withoutSecrets } = found;
	const id = prefix + idOf(record, key);
	if (event.kind === 'delete') return { revision, kind, id, change: 'delete', value: null };
	const decoded: unknown = decodeRecord(record, event.current.value);
	const open = decoded === undefined ? null : (withoutSecrets?.(decoded as never) ?? decoded);
	return { revision, kind, id, change: 'put', value: open };
}

/** Events of whole revisions as subscribers see them. */
export function toldOf(events: readonly StoreEvent[]): MeshEvent[] {
	const seen = events.map(told).filter((event) => event !== undefined);
	return seen.map((event, at) => Object.assign(event, { more: seen[at + 1]?.revision === event.revision }));
}
