// Owns a process of members that speak memberlist with the constants of a LAN, and says what they see: `address A` of the first, `join NAME OTHER`,
// `failed NAME OTHER`. Ends with its input. Run: node serf-child.js SEED NAME …; an empty seed begins a pool.
import process from 'node:process';
import { swimProfiles } from '@infermesh/fabric';
import { startOwn } from './serf.js';

const [, , seed = '', ...names] = process.argv;

// Written at once: a line that waits would count as time to detect.
const say = (line: string): void => void process.stdout.write(`${line}\n`);

let first = seed;
for (const name of names) {
	const { address } = await startOwn(name, {
		settings: swimProfiles.lan,
		seeds: first === '' ? [] : [first],
		onEvent: (event) => {
			if (event.kind === 'join' || event.kind === 'failed') say(`${event.kind} ${name} ${event.member.id}`);
		},
	});
	if (first === '') first = address;
	if (name === names[0]) say(`address ${address}`);
}
process.stdin.resume().once('end', () => process.exit(0));
