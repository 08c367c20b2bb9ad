// The command line of experiments against a real admin API whose experiment stands still: plans before starts, consent, views, reports in three forms, refusals.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MeshError } from '@infermesh/proto';
import test, { type ExecutionContext } from 'ava';
import { createAdminServer } from '../admin/server.js';
import { FakeMesh } from '../admin/testing.js';
import { experimentErrors } from '../experiments/errors.js';
import type { JointDocument } from '../experiments/matched/joint.js';
import type { CellLook } from '../experiments/matched/look.js';
import { testExperiments } from '../experiments/testing.js';
import type { ExperimentView, PlanView } from '../experiments/view.js';
import type { ExperimentDocument } from '../experiments/views.js';
import { StreamBounds } from '../mesh/stream-bounds.js';
import { createLog } from '../telemetry/logger.js';
import { run } from './testing.js';

/** Files that commands wrote. */
const written = new Map<string, string>();

async function open(t: ExecutionContext): Promise<(...argv: string[]) => ReturnType<typeof run>> {
	const admin = await serve(t);
	return (...argv) => run(['experiment', ...argv, '--admin', admin], { written });
}

type Experiments = ReturnType<typeof testExperiments>;

/** The address of a mesh; `cell`: what differs of it as a cell; `instead`: what it does otherwise. */
async function serve(
	t: ExecutionContext,
	cell: Partial<CellLook> = {},
	instead: (usual: Experiments) => Partial<Experiments> = () => ({}),
): Promise<string> {
	const usual = testExperiments(cell);
	const server = createAdminServer(
		{
			tokens: [],
			bodyMaxBytes: 1 << 20,
			requestTimeoutMs: 5000,
			version: '0.1.0',
			log: createLog({ level: 'silent', wallMs: () => 0 }),
			streams: new StreamBounds(() => undefined),
		},
		Object.assign(new FakeMesh(), { experiments: { ...usual, ...instead(usual) } }),
	);
	t.teardown(() => server.close());
	return server.listen({ host: '127.0.0.1', port: 0 });
}

test('a plan is shown before anything starts; starting needs consent, and starts what was shown', async (t) => {
	const experiment = await open(t);
	const dry = await experiment('start', 'hybrid_mesh', '--max-hours', '8', '--effect', '10', '--dry-run', '--json');
	const plan = dry.json as PlanView;
	t.is(dry.code, 0);
	t.like(plan, { kind: 'switchback', baseline: 'least_queue@1.0.0', promote: 'never', hours: 8 });
	t.true((plan.hoursExpected ?? 0) > 0 && (plan.hoursExpected ?? 0) <= (plan.hoursP90 ?? 0));
	const asked = await experiment('start', 'hybrid_mesh');
	t.is(asked.code, 2);
	t.regex(asked.err, /An effect of 5\.0 points is decided within [\s\S]*give --yes/);
	const begun = await experiment(
		'start',
		'hybrid_mesh',
		'--promote',
		'--seed',
		'5',
		'--block',
		'200s',
		'--yes',
		'--json',
	);
	t.like(begun.json, { id: 'e1', state: 'running', promote: 'win', pairs: 0 });
	t.regex(begun.err, /blocks of 3\.3 min/, 'the plan is on standard error');
});

test('what cannot be is refused with the name of what is wrong', async (t) => {
	const experiment = await open(t);
	const refused: readonly (readonly [string[], RegExp])[] = [
		[['--kind', 'canary', '--promote'], /IM_EXPERIMENT_DESIGN: promote: a canary cannot show/],
		[['--margin', '30'], /IM_EXPERIMENT_DESIGN: margin: /],
		[['--burn-in', '5m', '--block', '2m'], /IM_EXPERIMENT_DESIGN: burnInMs: .*shorter than the block/],
		[['--guardrail', 'imbalanceMx=3'], /no guardrail has the limit imbalanceMx.*did you mean `imbalanceMax`/],
		[['--percent', '100'], /--percent.*It must be a number from/],
		[['--kind', 'matched'], /It must be one of canary, request-ab, switchback, matched-cells/],
	];
	for (const [options, message] of refused) {
		const { code, err } = await experiment('start', 'hybrid_mesh', ...options, '--dry-run');
		t.not(code, 0);
		t.regex(err, message);
	}
	const unknown = await experiment('status', 'nope');
	t.regex(unknown.err, /IM_EXPERIMENT_UNKNOWN: no experiment is called nope/);
});

test('status and list say where it stands; stop ends it', async (t) => {
	const experiment = await open(t);
	const status = await experiment('status', 'e1');
	t.regex(status.out, /block 6, (baseline|candidate)/);
	t.regex(status.out, /pairs +3 judged, 0 dropped, of 480/);
	t.regex(status.out, /effect +\+10\.0 \(.* … .*\) points/);
	t.regex((await experiment('list')).out, /e1 +switchback +m +hybrid_mesh@1 +least_request@1 +3 /);
	t.is((await experiment('status')).out, status.out, 'without an id it is the newest');
	t.regex((await experiment('report')).out, /^e1: switchback/);
	const stopped = await experiment('stop', '--reason', 'maintenance', '--json');
	t.like((stopped.json as ExperimentView).end, { how: 'stop', reason: 'maintenance', by: 'loopback' });
	const again = await experiment('stop');
	t.is(again.code, 2);
	t.regex(again.err, /IM_CLI_USAGE: no experiment runs/, 'only what runs can be meant');
	const followed = await experiment('status', 'e1', '--follow');
	t.is(followed.code, 0);
	t.regex(followed.out, /outcome +stop: maintenance/);
});

test('the report is text, JSON or a page that needs nothing else, and every figure has its guarantee', async (t) => {
	const experiment = await open(t);
	const text = await experiment('report', 'e1');
	t.regex(text.out, /attainment +\+10\.0 [\s\S]*Anytime-valid[\s\S]*permutation test[\s\S]*TTFT p99 ratio +0\.500/);
	const document = (await experiment('report', 'e1', '--json')).json as ExperimentDocument;
	t.is(document.switchback?.pairs.length, 3);
	t.is(document.schema, 'infermesh.experiment.v1');
	written.clear();
	const html = await experiment('report', 'e1', '--html', 'r.html');
	t.is(html.err, 'report: r.html\n');
	t.regex(written.get('r.html') ?? '', /^<!doctype html>[\s\S]*Anytime-valid/);
});

test('a report is signed with a key, and verified by its public half: any change is refused by name', async (t) => {
	const experiment = await open(t);
	const dir = mkdtempSync(path.join(tmpdir(), 'signed-'));
	t.teardown(() => rmSync(dir, { recursive: true }));
	const key = path.join(dir, 'release');
	t.is((await run(['signing-key', 'new', key])).code, 0);
	written.clear();
	const signed = await experiment('report', 'e1', '--sign', `${key}.key`, '--out', 'r.json', '--json');
	t.regex(signed.err, /^report: r\.json, signed by [0-9a-f]{32}\n$/);
	t.like(signed.json, { schema: 'infermesh.signed.v1', statement: { kind: 'experiment', subject: 'e1' } });
	const file = path.join(dir, 'r.json');
	const text = written.get('r.json') ?? '';
	writeFileSync(file, text);
	const verify = (...more: string[]) => run(['report', 'verify', file, '--key', `${key}.pub`, ...more]);
	const good = await verify();
	t.is(good.code, 0, good.err);
	t.regex(good.out, /experiment e1, signed by .*release\.pub[\s\S]*not a page or table drawn from them/);
	t.like((await verify('--json')).json, { verified: true, statement: { subject: 'e1' } });
	writeFileSync(file, text.replace(/"good": \d+/, '"good": 999'));
	t.not(readFileSync(file, 'utf8'), text);
	const changed = await verify();
	t.is(changed.code, 1);
	t.regex(changed.err, /IM_REPORT_SIGNATURE: .*the document has digest/);
	writeFileSync(file, JSON.stringify((signed.json as { document: unknown }).document));
	t.regex((await verify()).err, /IM_REPORT_FORMAT/);
	const unsigned = await experiment('report', 'e1', '--out', 'plain.json');
	t.is(unsigned.err, 'report: plain.json\n');
	t.is((JSON.parse(written.get('plain.json') ?? '') as ExperimentDocument).schema, 'infermesh.experiment.v1');
	t.regex((await experiment('report', 'e1', '--sign', `${key}.pub`)).err, /IM_SIGNING_KEY/);
});

test('matched cells: paired and shown, started in all, reported together and stopped; cells that share something are refused', async (t) => {
	const cellOf = (name: string, more: Partial<CellLook> = {}): Promise<string> =>
		serve(t, { nodes: [`n-${name}`], engines: [`http://${name}:8000`], ...more });
	const east = await cellOf('east');
	const west = await cellOf('west', { requestsPerS: 50 });
	const matched = (...argv: string[]) => run(['experiment', 'matched', ...argv], { written });
	const cells = ['--cell', `east=${east}`, '--cell', `west=${west}`];
	const start = ['start', 'hybrid_mesh', '--window', '1ms', '--block', '200s'];
	const dry = await matched(...start, ...cells, '--dry-run');
	t.is(dry.code, 0, dry.err);
	t.regex(dry.out, /pair +east \(20\.0\/s, 100 in, 10 out\) with west \(50\.0\/s/);
	t.regex(dry.out, /not alike: load differ 2\.5 times/);
	t.is((await matched(...start, ...cells)).code, 2, 'nobody was asked');
	const begun = await matched(...start, ...cells, '--yes', '--json');
	t.is(begun.code, 0, begun.err);
	const { id } = begun.json as { id: string };
	t.regex(id, /^x-[0-9a-f]{8}$/);
	const report = await matched('report', id, ...cells, '--json', '--html', 'joint.html');
	t.is(report.code, 0, report.err);
	const joint = report.json as JointDocument;
	t.like(joint, { schema: 'infermesh.matched-cells.v1', state: 'running', verdict: 'undecided' });
	t.deepEqual(
		joint.cells.map(({ design }) => design.cell),
		['east', 'west'],
	);
	t.regex(written.get('joint.html') ?? '', /Matched cells x-/);
	t.regex((await matched('report', id, ...cells)).out, /no pair was judged[\s\S]*cells do not touch/);
	t.regex(written.get('joint.html') ?? '', /<p class="note">the interval allows no verdict yet/);
	const stopped = await matched('stop', id, ...cells);
	t.is(stopped.code, 0, stopped.err);
	t.regex((await matched('report', id, ...cells)).out, /ended[\s\S]*east has ended \(stop: stopped by hand\)/);
	const twin = await cellOf('twin', { engines: ['http://east:8000'] });
	const refused: readonly (readonly [string[], RegExp])[] = [
		[
			['--cell', `east=${east}`, '--cell', `twin=${twin}`],
			/IM_EXPERIMENT_CELLS_SHARED: east and twin have the engine east:8000/,
		],
		[['--cell', `east=${east}`, '--cell', `also=${east}`], /IM_EXPERIMENT_CELLS_SHARED/],
		[[...cells, '--pairs-min', '2'], /IM_EXPERIMENT_CELLS: 2 cells are 1 pairs, and at least 2/],
		[['--cell', `east=${east}`], /name 2 to 16 cells/],
		[['--cell', `east=${east}`, '--cell', `east=${west}`], /two cells have one name/],
		[['--cell', `east=${east}`, '--cell', `west=${await cellOf('odd', { baseline: 'x@1' })}`], /not one baseline/],
	];
	for (const [options, message] of refused) {
		const { code, err } = await matched(...start, ...options, '--dry-run');
		t.not(code, 0);
		t.regex(err, message);
	}
});

test('matched cells begin in all or in none: what one cell cannot start, or has loaded as another module, ends in the others', async (t) => {
	const full = new MeshError(experimentErrors, 'IM_EXPERIMENT_LIMIT', '16 experiments run');
	const faults: readonly (readonly [(usual: Experiments) => Partial<Experiments>, RegExp, RegExp])[] = [
		[
			() => ({ start: () => Promise.reject(full) }),
			/IM_EXPERIMENT_LIMIT: 16 experiments run/,
			/another cell could not start/,
		],
		[
			({ report }) => ({
				report: async (id) => ({ ...(await report(id)), digests: { baseline: 'b', candidate: 'another' } }),
			}),
			/IM_EXPERIMENT_CELLS_DIFFER: west: its strategies are other modules than those of east/,
			/west: its strategies are other modules/,
		],
	];
	for (const [instead, message, reason] of faults) {
		const east = await serve(t, { nodes: ['n-east'], engines: ['http://east:8000'] });
		const west = await serve(t, { nodes: ['n-west'], engines: ['http://west:8000'] }, instead);
		const cells = ['--cell', `east=${east}`, '--cell', `west=${west}`];
		const { code, err } = await run([
			'experiment',
			'matched',
			'start',
			'hybrid_mesh',
			...cells,
			'--window',
			'1ms',
			'--yes',
		]);
		t.is(code, 1);
		t.regex(err, message);
		const { json } = await run(['experiment', 'status', '--admin', east, '--json']);
		t.like(json, { kind: 'matched-cells', state: 'ended', end: { how: 'stop' } });
		t.regex((json as ExperimentView).end?.reason ?? '', reason);
	}
});
