// The scoring API seen by another gRPC implementation in another language: a router of its own that asks where requests should go, sends them there and reports.
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { eventually, MODEL, startTestMesh } from '../support/mesh.js';
import { program, run } from '../support/programs.js';

const client = fileURLToPath(new URL('../../../test/external/scoring-client.py', import.meta.url));

interface Seen {
	readonly scored: {
		readonly id: string;
		readonly verdict: string;
		readonly targets: readonly { readonly target: string }[];
	};
	readonly admitted: readonly (readonly [id: number, target: string, decision: string])[];
	readonly reported: readonly (readonly [id: number, open: boolean, error: string])[];
	readonly refused: readonly [status: string, code: string];
}

const sorted = (names: readonly string[]): string[] => names.toSorted((a, b) => (a < b ? -1 : 1));

test('gRPC’s C core ranks, admits in a stream, dispatches by itself and reports what became of it', async (t) => {
	const python = program('python3', 'python3-grpcio');
	const mesh = await startTestMesh(t, { engines: 2 });
	const targets = Object.fromEntries(mesh.engines.map(({ url }, at) => [`engine-${at + 1}`, url]));
	const { code, output } = await run(python, [client, new URL(mesh.dataUrl).host, MODEL, JSON.stringify(targets)]);
	t.is(code, 0, `${output} (python3 wants python3-grpcio)`);
	const seen = JSON.parse(output) as Seen;
	t.like(seen.scored, { id: '1', verdict: 'route' });
	t.deepEqual(sorted(seen.scored.targets.map(({ target }) => target)), sorted(Object.keys(targets)));
	const ids = Array.from({ length: 20 }, (_, at) => at);
	t.deepEqual(
		seen.admitted.map(([id]) => id),
		ids,
	);
	const used = new Set(seen.admitted.map(([, target]) => target));
	t.deepEqual(sorted([...used]), sorted(Object.keys(targets)), 'what is in flight counts');
	t.deepEqual(
		seen.reported,
		ids.map((id) => [id, false, '']),
	);
	t.deepEqual(seen.refused, ['NOT_FOUND', 'IM_REQUEST_PATH']);
	await eventually('nothing is in flight any more', async () => {
		const all = await Promise.all(Object.keys(targets).map((id) => mesh.admin.target(id)));
		return all.every(({ inFlight }) => inFlight === 0);
	});
	const explained = await fetch(`${mesh.mesh.adminUrl}/api/v1/decisions/${seen.admitted[0]?.[2]}`);
	t.is(explained.status, 200, 'an admission can be explained');
});
