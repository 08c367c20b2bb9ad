// The authority of a node that runs for years, on a clock moved by hand and a real folder.
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AuthorityDirectory, generateNodeKey, makeIdentity } from '@infermesh/fabric';
import test, { type ExecutionContext } from 'ava';
import { HandClock } from '../../fleet/testing.js';
import { renderMetrics } from '../../telemetry/exposition.js';
import { AuthorityKeeper } from './authority-keeper.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

async function kept(t: ExecutionContext) {
	const folder = mkdtempSync(path.join(tmpdir(), 'infermesh-authority-'));
	chmodSync(folder, 0o700);
	t.teardown(() => rmSync(folder, { recursive: true, force: true }));
	const directory = new AuthorityDirectory(path.join(folder, 'ca'), { kind: 'key', key: randomBytes(32) });
	const clock = new HandClock(Date.UTC(2026, 0, 1));
	const failures: string[] = [];
	const keeper = await AuthorityKeeper.create('mesh.test', { directory, clock, failed: (what) => failures.push(what) });
	t.teardown(() => keeper.close());
	const changed = (): Promise<void> => new Promise((resolve) => keeper.onChange(resolve));
	/** The hours go by in one; the look after them is the one that counts. */
	const advance = async (ms: number): Promise<void> => {
		clock.advance(ms);
		await new Promise((resolve) => setImmediate(resolve));
		clock.advance(HOUR);
	};
	return { folder, directory, clock, failures, keeper, changed, advance };
}

const left = (keeper: AuthorityKeeper, certificate: string): number =>
	Number(
		new RegExp(`expires_seconds\\{certificate="${certificate}"\\} (\\d+)`).exec(
			renderMetrics([], keeper.metrics()),
		)?.[1],
	) / 86_400;

test('a node that runs for years issues certificates all the time: the intermediate is renewed and stored while it runs', async (t) => {
	const { directory, clock, keeper, changed, advance } = await kept(t);
	t.is(Math.round(left(keeper, 'issuer')), 365);
	t.is(Math.round(left(keeper, 'root')), 3650);
	for (let half = 1; half <= 4; half++) {
		const renewed = changed();
		await advance(183 * DAY);
		await renewed;
		t.true(left(keeper, 'issuer') > 364, `after ${half} half years`);
		const keys = await generateNodeKey();
		const chain = await keeper.authority.issueNode(
			'00000000-0000-4000-8000-000000000001',
			keys.publicKey,
			clock.wallMs(),
		);
		const { svid } = makeIdentity(chain, keys.privateKey, keeper.authority.bundle, clock.wallMs());
		t.is(Math.round((svid.notAfterMs - clock.wallMs()) / HOUR), 24);
		t.true((await directory.open()).issued(svid.leaf), 'what is stored knows the intermediate');
	}
});

test('what cannot be stored is not used, is counted, and is done within the hour once it can be', async (t) => {
	const { folder, clock, keeper, failures, changed, advance } = await kept(t);
	const before = keeper.authority.expiry.issuerMs;
	renameSync(path.join(folder, 'ca'), path.join(folder, 'away'));
	writeFileSync(path.join(folder, 'ca'), 'no folder');
	await advance(183 * DAY);
	while (failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
	t.is(keeper.authority.expiry.issuerMs, before);
	t.regex(renderMetrics([], keeper.metrics()), /^infermesh_authority_maintenance_failed_total [1-9]/m);
	rmSync(path.join(folder, 'ca'));
	renameSync(path.join(folder, 'away'), path.join(folder, 'ca'));
	const renewed = changed();
	clock.advance(HOUR);
	await renewed;
	t.true(keeper.authority.expiry.issuerMs > before);
});
