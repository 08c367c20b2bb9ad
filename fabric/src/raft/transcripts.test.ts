// The golden transcripts of test/golden/raft are what the core does, word for word. UPDATE_GOLDEN=1 writes them anew; read the difference.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import test from 'ava';
import { rerun } from './testing/transcript.js';

const folder = new URL('../../../../test/golden/raft/', import.meta.url);

for (const name of readdirSync(folder).filter((file) => file.endsWith('.txt'))) {
	test(`transcript ${name}`, (t) => {
		const file = new URL(name, folder);
		const before = readFileSync(file, 'utf8');
		const after = rerun(before);
		if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, after);
		else t.is(after, before);
		t.regex(after, /\n {2}/, 'a transcript in which nothing happens');
	});
}
