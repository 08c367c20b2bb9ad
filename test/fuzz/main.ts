// Owns `npm run fuzz`: fuzzing of native strategies for as long as one likes. Options: --seconds N for each target, --into FOLDER for what is learned and
// found (kept from run to run), names of targets (default all). Exits 1 when something was found.
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildFuzzer, buildRace, type FuzzTarget, fuzzTargets, runFuzzer, runRace } from './native.js';

const { values, positionals } = parseArgs({
	options: { seconds: { type: 'string', default: '60' }, into: { type: 'string' } },
	allowPositionals: true,
});
const seconds = Number(values.seconds);
const known: readonly string[] = [...fuzzTargets, 'handoff'];
const unknown = positionals.find((name) => !known.includes(name));
if (!Number.isInteger(seconds) || seconds < 0 || unknown !== undefined) {
	process.stderr.write(`usage: npm run fuzz -- [${known.join('|')} …] [--seconds N] [--into FOLDER]\n`);
	process.exit(2);
}
const folder = path.resolve(values.into ?? path.join(tmpdir(), 'infermesh-fuzz'));
mkdirSync(folder, { recursive: true });
const wanted = positionals.length > 0 ? positionals : known;
let found = false;

/** A few thousand calls a second under the race detector. */
const CALLS_PER_SECOND = 2000;

for (const name of wanted) {
	if (name === 'handoff') {
		const { ok, answered, late, output } = await runRace(
			await buildRace(folder),
			Math.max(1, seconds) * CALLS_PER_SECOND,
		);
		found ||= !ok;
		process.stdout.write(ok ? `handoff: ${answered} calls answered, ${late} late, no race\n` : `handoff:\n${output}\n`);
		continue;
	}
	const target = name as FuzzTarget;
	const { ok, runs, output } = await runFuzzer(target, await buildFuzzer(target, folder), folder, seconds);
	found ||= !ok;
	process.stdout.write(ok ? `${target}: ${runs} inputs, nothing found\n` : `${target}:\n${output}\nin ${folder}\n`);
}
process.exit(found ? 1 : 0);
