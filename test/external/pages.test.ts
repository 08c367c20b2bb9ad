// The status page and the reports of load, simulations and experiments in a real browser: they draw what they should, and the console stays silent.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import test from 'ava';
import { type Browser, chromium, type Page } from 'playwright-core';
import { eventually, startTestMesh } from '../support/mesh.js';
import { program, run, temporaryFolder } from '../support/programs.js';
import { ask } from '../support/traffic.js';

const cli = fileURLToPath(new URL('../../../host/bin/infermesh.mjs', import.meta.url));
const TOKEN = 'admin-token-of-32-characters-xxx';

let browser: Browser;

test.before(async () => {
	browser = await chromium.launch({
		executablePath: program('chromium', 'chromium'),
		args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
	});
});

test.after.always(() => browser?.close());

interface Watched {
	readonly page: Page;
	/** Errors and warnings of the console, uncaught exceptions, failed requests and requests to anywhere else. */
	readonly complaints: string[];
}

async function open(url: string): Promise<Watched> {
	const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
	const complaints: string[] = [];
	page.on('console', (message) => {
		if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`);
	});
	page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
	page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));
	page.on('request', (request) => {
		const { origin, protocol } = new URL(request.url());
		if (protocol !== 'data:' && origin !== new URL(url).origin) complaints.push(`elsewhere: ${request.url()}`);
	});
	await page.goto(url);
	return { page, complaints };
}

/** Whether nothing sticks out of a narrow window; tables scroll by themselves. */
async function fitsNarrow(page: Page): Promise<boolean> {
	// What the pointer shows of a chart is placed for the window as it was.
	await page.mouse.move(0, 0);
	await page.setViewportSize({ width: 420, height: 900 });
	return page.evaluate('document.documentElement.scrollWidth <= document.documentElement.clientWidth');
}

/** A screenshot that is not one blank colour: compressed, a blank page of this size is far smaller. */
async function looksDrawn(page: Page): Promise<boolean> {
	return (await page.screenshot()).length > 20_000;
}

test('the status page shows targets, strategies and traffic as they are', async (t) => {
	const mesh = await startTestMesh(t, { engines: 3 });
	for (let seed = 0; seed < 20; seed++) await ask({ url: mesh.dataUrl, seed, stream: true });
	const { page, complaints } = await open(mesh.admin.url);
	await page.getByText('engine-3').waitFor();
	await page.getByText('hybrid_mesh', { exact: true }).waitFor();
	await page.getByText('20 in all, 0 failed').waitFor();
	t.is(await page.locator('#targets tr').count(), 3);
	t.is(await page.locator('#targets .pill', { hasText: 'ready' }).count(), 3);
	await mesh.admin.drain('engine-2');
	await page.locator('#targets .pill', { hasText: 'draining' }).waitFor();
	t.true(await looksDrawn(page));
	t.deepEqual(complaints, []);
	await page.close();
});

test('the status page asks for the token, and works with it', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1, config: { admin: { port: 0, token: TOKEN } } });
	const { page, complaints } = await open(mesh.admin.url);
	await page.getByText('This mesh wants its admin token.').waitFor();
	t.is(await page.locator('#targets tr td').count(), 0, 'nothing is shown without it');
	await page.locator('#token').fill(TOKEN);
	await page.locator('#login button').click();
	await page.getByText('engine-1').waitFor();
	// The browser itself reports the answers of 401.
	t.deepEqual(
		complaints.filter((text) => !text.includes('401')),
		[],
	);
	await page.close();
});

test('the status page tells when the mesh is gone', async (t) => {
	const mesh = await startTestMesh(t, { engines: 1 });
	const { page } = await open(mesh.admin.url);
	await page.getByText('engine-1').waitFor();
	await mesh.close();
	await page.getByText('The mesh does not answer; trying again.').waitFor();
	t.pass();
	await page.close();
});

test('names are shown as text, whatever they hold', async (t) => {
	const model = '<img src=x onerror=alert(1)>';
	const mesh = await startTestMesh(t, { engines: [{ models: [model] }] });
	const { page, complaints } = await open(mesh.admin.url);
	await page.getByText(model).waitFor();
	t.is(await page.locator('img').count(), 0);
	t.deepEqual(complaints, []);
	await page.close();
});

test('the load report draws its plots from one file, with nothing from elsewhere', async (t) => {
	const mesh = await startTestMesh(t, { engines: 2 });
	const file = path.join(temporaryFolder(t), 'report.html');
	const bench = `bench --admin ${mesh.admin.url} --rate 40 --duration 2s --input 64 --output 16 --html`.split(' ');
	const { code, output } = await run(process.execPath, [cli, ...bench, file]);
	t.is(code, 0, output);
	t.true(readFileSync(file, 'utf8').length > 10_000);
	const { page, complaints } = await open(pathToFileURL(file).href);
	await eventually('it is drawn', () => looksDrawn(page));
	t.true((await page.locator('canvas, svg').count()) > 0);
	t.true((await page.locator('table tr').count()) > 3);
	t.true(await fitsNarrow(page));
	t.deepEqual(complaints, []);
	await page.close();
});

test('the simulation report draws its plots from one file, with nothing from elsewhere', async (t) => {
	const folder = temporaryFolder(t);
	const scenario = path.join(folder, 'small.yaml');
	writeFileSync(
		scenario,
		[
			'name: "<img src=x onerror=alert(1)>"',
			'fleet: [{ id: gpu, count: 3 }]',
			'workload: { generator: { requests: 300, rate_per_s: 12, prefixes: 4 } }',
			'grid: { loads: { values: [1, 3] }, seeds: 2, faults: { none: [], slow: [{ kind: slow, factor: 6 }] } }',
		].join('\n'),
	);
	const file = path.join(folder, 'report.html');
	const simulate = ['simulate', '--scenario', scenario, '--strategies', 'hybrid_mesh,random', '--html', file];
	const { code, output } = await run(process.execPath, [cli, ...simulate]);
	t.is(code, 0, output);
	const { page, complaints } = await open(pathToFileURL(file).href);
	await eventually('it is drawn', () => looksDrawn(page));
	t.is(await page.locator('img').count(), 0, 'names are text');
	for (const title of ['Time to first token', 'Goodput against load', 'Requests in flight by target: hybrid_mesh'])
		t.true((await page.locator('figcaption', { hasText: title }).count()) > 0, title);
	await page.getByRole('heading', { name: 'Worst scenario' }).waitFor();
	for (const strategy of ['least_queue', 'hybrid_mesh', 'random'])
		t.true((await page.locator('td', { hasText: strategy }).count()) > 0, strategy);
	const chart = page.locator('svg[data-chart]').first();
	await chart.hover();
	await page.locator('.tip:visible').first().waitFor();
	const kept = JSON.parse((await page.locator('#result').textContent()) ?? '') as {
		readonly cells: readonly unknown[];
	};
	t.is(kept.cells.length, 2 * 2 * 2 * 3);
	t.true(await fitsNarrow(page));
	t.deepEqual(complaints, []);
	await page.close();
});

test('the report of an experiment says how it ended, with what its figures promise, from one file', async (t) => {
	const mesh = await startTestMesh(t, { engines: 2 });
	const file = path.join(temporaryFolder(t), 'report.html');
	const infermesh = async (command: string): Promise<string> => {
		const { code, output } = await run(process.execPath, [cli, ...command.split(' '), '--admin', mesh.admin.url]);
		t.is(code, 0, output);
		return output;
	};
	await infermesh('strategy load random');
	await infermesh('experiment start random --ttft 2s --block 30s --burn-in 5s --yes');
	await infermesh('experiment stop --reason <b>enough</b>');
	await infermesh(`experiment report --html ${file}`);
	const { page, complaints } = await open(pathToFileURL(file).href);
	await page.getByText('stop: <b>enough</b>').waitFor();
	t.true((await page.locator('.prose tr').count()) > 5);
	t.true((await page.locator('td', { hasText: 'TTFT ≤ 2.00 s, TPOT' }).count()) === 1);
	t.true(await fitsNarrow(page));
	t.deepEqual(complaints, []);
	await page.close();
});
