// Nodes that hear of different GPUs, each with its own view of one fleet: what each tells the others, and that all come to the same targets.
import test from 'ava';
import type { TargetRecord } from '../fleet/registry.js';
import { HandClock } from '../fleet/testing.js';
import type { GpuStandingsRecord } from '../records/kinds.js';
import type { DeviceSummary } from '../signals/gpu-signals.js';
import { defaultRules } from '../signals/rules.js';
import { GpuPart } from './gpu-part.js';
import type { TargetService } from './target-service.js';

interface Node {
	readonly name: string;
	readonly part: GpuPart;
	/** Standing of each target here, and what holds it. */
	readonly seen: Map<string, DeviceSummary | undefined>;
	said: Pick<GpuStandingsRecord, 'held' | 'condemned'>;
	told: number;
}

const ids = ['a', 'b', 'c', 'd'];

/** A node; of the fleet it has the rows and takes what becomes of them, as the target service does. */
function node(name: string, clock: HandClock): Node {
	const records = ids.map(
		(id, row) => ({ row, spec: { id, node: 'n', models: ['m'], gpus: [`GPU-${id}`] } }) as unknown as TargetRecord,
	);
	const seen = new Map<string, DeviceSummary | undefined>();
	const targets = {
		registry: { records: () => records },
		devices: (record: TargetRecord, summary: DeviceSummary | undefined) => void seen.set(record.spec.id, summary),
	} as unknown as TargetService;
	const part = new GpuPart(
		{ rules: defaultRules, staleAfterMs: 60_000, forgetAfterMs: 600_000, smoothingMs: 1000, devicesMax: 16 },
		{
			clock,
			log: { info: () => undefined, warn: () => undefined } as never,
			metrics: { gpuLooked: () => undefined, gpuStanding: () => undefined, gpuHeldBack: () => undefined },
			targets,
			sources: [],
			quarantineRatioMax: 0.5,
			changed: (said) => {
				made.said = said;
				made.told++;
			},
		},
	);
	const made: Node = { name, part, seen, said: { held: [] }, told: 0 };
	return made;
}

/** Every node hears what the others say, as the mesh's records bring it. */
function exchange(nodes: readonly Node[]): void {
	for (const one of nodes)
		one.part.elsewhere(
			new Map(nodes.filter((other) => other !== one).map(({ name, said }) => [name, said.condemned ?? []])),
		);
}

const standings = ({ seen }: Node): readonly string[] => ids.map((id) => seen.get(id)?.standing ?? 'sound');

test('all leave the same half of a model in use, whoever heard of what; a release holds for all', (t) => {
	const clock = new HandClock();
	const nodes = ['left', 'right', 'third'].map((name) => node(name, clock));
	const [left, right, third] = nodes as [Node, Node, Node];
	const report = ({ part }: Node, id: string, xidLast: number): void =>
		void part.report(
			{ gpuUuid: `GPU-${id}`, node: 'n', observedAtMs: clock.wallMs(), xidLast, unread: [] },
			Math.floor(clock.wallMs()),
		);
	const all = (wanted: readonly string[], what: string): void => {
		for (const one of nodes) t.deepEqual(standings(one), wanted, `${what}: ${one.name}`);
	};
	for (const [at, ids] of [
		[left, ['a', 'b']],
		[right, ['c', 'd']],
	] as const)
		for (const id of ids) report(at, id, 0);
	t.is(left.told, 0, 'nothing to tell, nothing written');
	report(left, 'a', 79);
	report(left, 'b', 79);
	clock.advance(1000);
	exchange(nodes);
	all(['quarantined', 'quarantined', 'sound', 'sound'], 'two are out');
	t.deepEqual(third.seen.get('a')?.rules, ['node:left']);
	t.is(third.told, 0, 'what others say is not repeated');
	clock.advance(1000);
	report(right, 'c', 79);
	report(right, 'd', 79);
	exchange(nodes);
	all(['quarantined', 'quarantined', 'degraded', 'degraded'], 'the others stay in use');
	const { told } = right;
	exchange(nodes);
	t.is(right.told, told, 'nothing new, nothing written');
	left.part.release('GPU-a');
	exchange(nodes);
	all(['sound', 'quarantined', 'quarantined', 'degraded'], 'who came next is out');
	right.part.hold('GPU-d', 'ann');
	exchange(nodes);
	all(
		['sound', 'degraded', 'degraded', 'quarantined'].map((one, at) => (at === 1 ? 'quarantined' : one)),
		'by hand',
	);
	exchange([third, right]);
	t.deepEqual(standings(third), ['sound', 'sound', 'quarantined', 'quarantined'], 'a node that is gone says nothing');
});
