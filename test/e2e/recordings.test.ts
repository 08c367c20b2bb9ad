// Recording and replay as an operator has them: a live mesh of several workers records its decisions, another process replays them bit for bit, compares
// them with other strategies, and finds out what was done to the files.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { openTraceFile } from '@infermesh/host';
import test from 'ava';
import { eventually, startTestMesh } from '../support/mesh.js';
import { temporaryFolder } from '../support/programs.js';
import { shipped } from '../support/strategies.js';
import { ask } from '../support/traffic.js';

const cli = fileURLToPath(new URL('../../../host/bin/infermesh.mjs', import.meta.url));

interface Ran {
	readonly code: number;
	readonly out: string;
	readonly err: string;
}

function infermesh(...args: readonly string[]): Promise<Ran> {
	return new Promise((resolve) => {
		execFile(process.execPath, [cli, ...args], { maxBuffer: 64 * 1024 * 1024 }, (error, out, err) => {
			resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
		});
	});
}

interface Report {
	readonly ok: boolean;
	readonly decisions: number;
	readonly outcomes: number;
	readonly partial: boolean;
	readonly tampered: boolean;
	readonly issues: readonly { readonly code: string; readonly where: string }[];
	readonly identity: { readonly checked: number; readonly identical: number; readonly different: number };
	readonly strategies: readonly { readonly label: string; readonly module: string; readonly sameDigest: boolean }[];
	readonly against: readonly { readonly label: string; readonly compared: number; readonly agreed: number }[];
}

const REQUESTS = 240;

test.serial(
	'a live mesh is recorded, and replays bit for bit in another process, against others, and not when it was changed',
	async (t) => {
		const dir = path.join(temporaryFolder(t), 'recordings');
		const mesh = await startTestMesh(t, { engines: 4, config: { recorder: { dir, hashes: 'kept', drain_ms: 5 } } });
		const started = await infermesh('record', 'start', '--admin', mesh.admin.url, '--json');
		t.is(started.code, 0, started.err);
		const again = await infermesh('record', 'start', '--admin', mesh.admin.url);
		t.regex(again.err, /IM_RECORDER_BUSY/);
		await fire(mesh.dataUrl, REQUESTS / 2);
		// Another strategy takes over in the middle: its module and its decisions are in the same recording.
		await mesh.admin.load(shipped('least_pending_tokens'), { activate: true });
		await fire(mesh.dataUrl, REQUESTS / 2);
		await eventually('outcomes are written', async () => {
			const { outcomes } = await mesh.admin.call<{ outcomes: number }>('GET', '/api/v1/recorder');
			return outcomes >= REQUESTS;
		});
		interface View {
			readonly decisions: number;
			readonly dropped: number;
			readonly recording: boolean;
			readonly chain: string;
		}
		const view = await mesh.admin.call<View>('POST', '/api/v1/recorder/stop', {});
		t.false(view.recording);
		t.is(view.dropped, 0);
		t.true(view.decisions >= REQUESTS);
		const [name] = readdirSync(dir);
		const file = path.join(dir, name ?? '');
		t.is(statSync(file).mode & 0o077, 0, 'nobody but its owner reads a recording');

		const replayed = await infermesh('replay', dir, '--against', 'least_request,baseline_rr', '--json');
		t.is(replayed.code, 0, replayed.err);
		const report = JSON.parse(replayed.out) as Report & { chain: string };
		t.is(report.chain, view.chain);
		t.is(report.decisions, view.decisions);
		t.like(report.identity, { different: 0 });
		t.is(report.identity.identical, report.identity.checked);
		t.true(report.identity.checked >= REQUESTS);
		t.deepEqual(
			report.strategies.map(({ label }) => label.split('@')[0]),
			['hybrid_mesh', 'least_pending_tokens'],
		);
		t.true(report.strategies.every(({ module, sameDigest }) => module === 'recording' && sameDigest));
		t.deepEqual(
			report.against.map(({ label }) => label.split('@')[0]),
			['least_request', 'baseline_rr'],
		);
		t.true(report.against.every(({ compared }) => compared >= REQUESTS));
		t.true(report.against[1]!.agreed < report.against[1]!.compared);

		const trace = await openTraceFile(file);
		const requests: { readonly outputTokens: number }[] = [];
		for await (const request of trace) requests.push(request);
		t.is(trace.kind, 'recording');
		t.is(requests.length, REQUESTS);
		t.true(requests.every(({ outputTokens }) => outputTokens > 0));

		const bytes = readFileSync(file);
		const changed = path.join(path.dirname(dir), 'changed.imrec');
		// Among the decisions: the modules stand before them, and without its module nothing can be replayed.
		bytes[Math.floor(bytes.length * 0.9)]! ^= 1;
		writeFileSync(changed, bytes);
		const damaged = await infermesh('replay', changed, '--json');
		const damage = JSON.parse(damaged.out) as Report;
		t.true(damage.partial);
		t.regex(damage.issues[0]!.where, /changed\.imrec:byte \d+/);

		const cut = path.join(path.dirname(dir), 'cut.imrec');
		writeFileSync(cut, readFileSync(file).subarray(0, bytes.length - 1000));
		const short = JSON.parse((await infermesh('replay', cut, '--json')).out) as Report;
		t.is(short.issues[0]?.code, 'IM_RECORDING_TRUNCATED');
		t.is(short.identity.different, 0);

		const html = path.join(path.dirname(dir), 'replay.html');
		const text = await infermesh('replay', dir, '--against', 'least_request', '--html', html);
		t.regex(text.out, /ok: every decision that could be checked came out bit for bit/);
		t.regex(readFileSync(html, 'utf8'), /<h2>Against least_request@/);
	},
);

async function fire(url: string, count: number): Promise<void> {
	let next = 0;
	const one = async (): Promise<void> => {
		while (next < count) await ask({ url, seed: next++ % 7, tokens: 12, stream: true });
	};
	await Promise.all(Array.from({ length: 8 }, one));
}
