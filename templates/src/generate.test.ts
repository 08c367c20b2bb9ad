import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { askMissing, type Terminal } from './ask.js';
import { templates } from './catalogue.js';
import { runCreate } from './create.js';
import { type GenerateOptions, generate } from './generate.js';
import { proposeName } from './names.js';
import { digestOf, readStamp } from './sdk-copy.js';

function temporary(t: { teardown(fn: () => void): void }): string {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-templates-'));
	t.teardown(() => rmSync(dir, { recursive: true, force: true }));
	return dir;
}

function codeOf(run: () => unknown): string {
	try {
		run();
	} catch (error) {
		if (error instanceof MeshError) return error.code;
		throw error;
	}
	return 'no error';
}

function snapshot(dir: string): Record<string, string> {
	const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) =>
		statSync(path.join(dir, file)).isFile(),
	);
	return Object.fromEntries(files.sort().map((file) => [file, readFileSync(path.join(dir, file), 'utf8')]));
}

const filesOf: Readonly<Record<(typeof templates)[number]['sdk'], readonly string[]>> = {
	assembly: ['assembly/index.ts', 'sdk/index.ts'],
	c: ['strategy.c', 'sdk/infermesh.h'],
	rust: ['Cargo.toml', 'src/lib.rs', 'sdk/Cargo.toml', 'sdk/src/lib.rs', 'sdk/src/lanes/sse2.rs'],
};

for (const template of templates) {
	test(`${template.name}: everything listed is written, nothing is left to fill in, and a second run changes nothing`, (t) => {
		const cwd = temporary(t);
		const options: GenerateOptions = { path: 'my-strategy', template: template.name, cwd };
		const first = generate(options);
		const dir = path.join(cwd, 'my-strategy');
		const files = snapshot(dir);
		t.deepEqual([...first.written].sort(), Object.keys(files));
		t.deepEqual(first.kept, []);
		for (const file of [
			'.gitignore',
			'strategy.yaml',
			'README.md',
			'package.json',
			'sdk/stamp.json',
			...filesOf[template.sdk],
		])
			t.true(file in files, file);
		t.true(Object.keys(files).some((file) => file.endsWith('.scenario.yaml')));
		// The SDK is copied as it is.
		for (const [file, text] of Object.entries(files))
			if (!file.startsWith('sdk/')) t.notRegex(text, /__[a-z_]+__/, file);
		t.regex(files['strategy.yaml'] ?? '', /^name: my-strategy$/m);
		// A Markdown formatter takes the fields of the template for bold text and rewrites them.
		t.regex(files['README.md'] ?? '', /^# my-strategy\n\n\w[^*]+ with SDK \d+\.\d+\.\d+ \(ABI \d+\.\d+\)/);
		t.deepEqual(
			first.next.map((command) => command.split(' ')[2]),
			['test', 'check', 'load'],
		);

		const second = generate(options);
		t.deepEqual(second.written, []);
		t.deepEqual([...second.unchanged].sort(), Object.keys(files));
		t.deepEqual(snapshot(dir), files);
	});
}

test('a changed file is kept and named; force overwrites it', (t) => {
	const cwd = temporary(t);
	generate({ path: 'p2', cwd });
	const file = path.join(cwd, 'p2', 'assembly', 'index.ts');
	writeFileSync(file, '// mine\n');
	rmSync(path.join(cwd, 'p2', 'README.md'));
	const again = generate({ path: 'p2', cwd });
	t.deepEqual(again.kept, ['assembly/index.ts']);
	t.deepEqual(again.written, ['README.md']);
	t.is(readFileSync(file, 'utf8'), '// mine\n');
	const forced = generate({ path: 'p2', cwd, force: true });
	t.deepEqual(forced.written, ['assembly/index.ts']);
	t.not(readFileSync(file, 'utf8'), '// mine\n');
});

test('a second run keeps the name and the description of the project', (t) => {
	const cwd = temporary(t);
	generate({ path: 'folder', cwd, name: 'other_name', description: 'Says: "hello" # there' });
	const again = generate({ path: 'folder', cwd });
	t.is(again.name, 'other_name');
	t.deepEqual([...again.written, ...again.kept], []);
});

test('an SDK file the author did not touch is brought up to date, an edited one is kept', (t) => {
	const cwd = temporary(t);
	const dir = path.join(cwd, 'up');
	generate({ path: 'up', cwd });
	const stampFile = path.join(dir, 'sdk', 'stamp.json');
	const stamp = readStamp(dir);
	t.truthy(stamp);
	// The project as an older SDK left it: one file with other content, whose stamped digest matches that content.
	const olderText = '// older\n';
	writeFileSync(path.join(dir, 'sdk', 'math.ts'), olderText);
	writeFileSync(path.join(dir, 'sdk', 'log.ts'), '// edited by the author\n');
	writeFileSync(
		stampFile,
		JSON.stringify({ ...stamp, sdk: '0.0.1', files: { ...stamp?.files, 'sdk/math.ts': digestOf(olderText) } }),
	);
	const again = generate({ path: 'up', cwd });
	t.deepEqual(again.written, ['sdk/math.ts', 'sdk/stamp.json']);
	t.deepEqual(again.kept, ['sdk/log.ts']);
});

test('bad names, descriptions, templates and places are refused by name', (t) => {
	const cwd = temporary(t);
	mkdirSync(path.join(cwd, 'used'));
	writeFileSync(path.join(cwd, 'used', 'thesis.txt'), 'x');
	writeFileSync(path.join(cwd, 'file'), 'x');
	const cases: [GenerateOptions, string][] = [
		[{ path: 'a', template: 'strategy-rs' }, 'IM_TEMPLATE_UNKNOWN'],
		[{ path: 'a', name: 'Has Spaces' }, 'IM_TEMPLATE_NAME_INVALID'],
		[{ path: 'a', name: '../up' }, 'IM_TEMPLATE_NAME_INVALID'],
		[{ path: 'a', name: 'x'.repeat(65) }, 'IM_TEMPLATE_NAME_INVALID'],
		[{ path: '123' }, 'IM_TEMPLATE_NAME_INVALID'],
		[{ path: 'a', name: 'hybrid_mesh' }, 'IM_TEMPLATE_NAME_RESERVED'],
		[{ path: 'abc', description: 'two\nlines' }, 'IM_TEMPLATE_DESCRIPTION_INVALID'],
		[{ path: 'abc', description: ' ' }, 'IM_TEMPLATE_DESCRIPTION_INVALID'],
		[{ path: 'used' }, 'IM_TEMPLATE_FOLDER_IN_USE'],
		[{ path: 'file' }, 'IM_TEMPLATE_PATH_INVALID'],
		[{ path: 'file/below' }, 'IM_TEMPLATE_PATH_INVALID'],
		[{ path: 'abc', sdkDir: path.join(cwd, 'nowhere') }, 'IM_TEMPLATE_SDK_MISSING'],
	];
	for (const [options, code] of cases)
		t.is(
			codeOf(() => generate({ ...options, cwd })),
			code,
			JSON.stringify(options),
		);
	t.deepEqual(readdirSync(cwd).sort(), ['file', 'used'], 'a refused run writes nothing');
});

test('names are proposed from folders', (t) => {
	t.is(proposeName('My Strategy!'), 'my-strategy');
	t.is(proposeName('42-answers_'), 'answers');
	t.is(proposeName('???'), '');
});

function terminal(input: string): { readonly terminal: Terminal; readonly asked: () => string } {
	let asked = '';
	const stderr = Object.assign(
		new Writable({
			write(chunk, _encoding, done) {
				asked += String(chunk);
				done();
			},
		}),
		{ isTTY: true },
	);
	return { terminal: { stdin: Object.assign(Readable.from([input]), { isTTY: true }), stderr }, asked: () => asked };
}

test('on a terminal it asks for what was not given, and again after a bad answer', async (t) => {
	const { terminal: asking, asked } = terminal('strategy-as-minimal\nBad Name\ngood_name\n\n');
	const answered = await askMissing({ path: 'some-place' }, false, asking);
	t.is(answered.template, 'strategy-as-minimal');
	t.is(answered.name, 'good_name');
	t.is(answered.description, 'Sends each request to the target with the least load.');
	t.regex(asked(), /IM_TEMPLATE_NAME_INVALID/);
});

test('it asks nothing with --yes or without a terminal, and an end of input cancels', async (t) => {
	const options = { path: 'some-place' };
	t.is(await askMissing(options, true, terminal('').terminal), options);
	t.is(await askMissing(options, false, { stdin: Readable.from(['x']), stderr: process.stderr }), options);
	const error = await t.throwsAsync(askMissing(options, false, terminal('').terminal), { instanceOf: MeshError });
	t.is(error?.code, 'IM_TEMPLATE_CANCELLED');
});

async function create(cwd: string, ...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
	const sink = (): Writable & { text: string } => {
		const stream = new Writable({
			write(chunk, _encoding, done) {
				stream.text += String(chunk);
				done();
			},
		}) as Writable & { text: string };
		stream.text = '';
		return stream;
	};
	const stdout = sink();
	const stderr = sink();
	const code = await runCreate(argv, { cwd: () => cwd, stdin: process.stdin, stdout, stderr });
	return { code, stdout: stdout.text, stderr: stderr.text };
}

test('the command lists files and next commands, prints JSON, and has exit codes', async (t) => {
	const cwd = temporary(t);
	const made = await create(cwd, 'one', '--yes');
	t.is(made.code, 0);
	t.regex(made.stdout, /wrote {6}assembly\/index\.ts/);
	t.regex(made.stdout, /infermesh strategy test one/);
	const json = await create(cwd, 'two', '--yes', '--json', '--template', 'strategy-as-minimal');
	t.is((JSON.parse(json.stdout) as { template: string }).template, 'strategy-as-minimal');
	t.is((await create(cwd)).code, 2);
	t.is((await create(cwd, 'x', '--nonsense')).code, 2);
	const refused = await create(cwd, 'three', '--name', 'least_queue', '--yes');
	t.is(refused.code, 1);
	t.regex(refused.stderr, /^IM_TEMPLATE_NAME_RESERVED: /);
	t.is((await create(cwd, '--help')).code, 0);
});
