// Chaos in small: one fault of each kind on three real processes in network namespaces of their own, which needs root; and on loopback, with a record
// that is falsified in every way the judges must notice.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { type Damage, damages } from '../chaos/workload/workload.js';

const command = fileURLToPath(new URL('../chaos/main.js', import.meta.url));
const timeoutMs = 420_000;

interface Report {
	readonly violations: readonly { readonly what: string }[];
	readonly faults: readonly { readonly fault: string; readonly recoveryMs: number }[];
	readonly completed: Readonly<Record<string, number>>;
	readonly histories: number;
	readonly ledger: number;
	readonly streams: { readonly completed: number; readonly dropped: number };
}

async function chaos(t: ExecutionContext, ...options: readonly string[]): Promise<[code: number | null, Report]> {
	t.timeout(timeoutMs);
	const child = spawn(process.execPath, [command, '--json', ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
	t.teardown(() => void child.kill('SIGTERM'));
	let output = '';
	child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()));
	child.stderr.on('data', (bytes: Buffer) => t.log(bytes.toString().trimEnd()));
	const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
	if (output === '') throw new Error(`no report, exit code ${code}`);
	return [code, JSON.parse(output) as Report];
}

const only = (...names: readonly string[]): readonly string[] => names.flatMap((name) => ['--only', name]);

test.serial('three processes lose nothing over one fault of each kind', async (t) => {
	const faults = [
		'kill the leader',
		'isolate one',
		'packets lost',
		'a sync fails',
		'disk full',
		'drain a node, stop it, start it',
	];
	const [code, report] = await chaos(
		t,
		'--netns',
		'--rounds',
		'1',
		'--seed',
		'11',
		'--calm',
		'2',
		'--floor',
		'2',
		...only(...faults),
	);
	t.deepEqual(report.violations, []);
	t.is(code, 0);
	t.deepEqual(report.faults.map(({ fault }) => fault).toSorted(), faults.toSorted());
	t.true(report.histories > 0 && report.ledger > 0 && report.streams.completed > 0);
	t.is(report.streams.dropped, 0);
});

/** What the judges say of each. */
const notices: Readonly<Record<Damage, RegExp>> = {
	'lost-write': /acknowledged writes are not there at node-/,
	'stale-read': /a history of \d+ operations is not linearizable/,
	'watch-gap': /^watcher 1 was not told revision \d+/,
	'two-owners': /the lock's history is not linearizable/,
	'dropped-stream': /^a stream through node-\d from engine-\d broke after/,
};

test.serial('whatever is falsified is noticed', async (t) => {
	const falsified = damages.flatMap((damage) => ['--damage', damage]);
	const calmly = ['--rounds', '2', '--calm', '8', '--seed', '12', '--floor', '0', ...only('leadership transfer')];
	const [code, { violations }] = await chaos(t, ...calmly, ...falsified);
	t.is(code, 1);
	for (const [damage, notice] of Object.entries(notices))
		t.true(
			violations.some(({ what }) => notice.test(what)),
			damage,
		);
	for (const { what } of violations)
		t.true(
			Object.values(notices).some((notice) => notice.test(what)),
			`only what was falsified is wrong: ${what}`,
		);
});
