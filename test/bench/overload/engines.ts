// The engines of the overload bench, in a process of their own: as many as asked, each running a few sequences at once. Says their ports to its parent.
import process from 'node:process';
import { startEngine, systemClock } from '@infermesh/host';

const [count, sequencesMax, speed, model] = process.argv.slice(2);

const engines = await Promise.all(
	Array.from({ length: Number(count) }, (_, index) =>
		startEngine({
			clock: systemClock,
			models: [model ?? ''],
			seed: index,
			speed: Number(speed),
			model: { sequencesMax: Number(sequencesMax) },
		}),
	),
);
process.send?.({ ports: engines.map(({ port }) => port) });
process.once('SIGTERM', () => process.exit(0));
process.once('disconnect', () => process.exit(0));
