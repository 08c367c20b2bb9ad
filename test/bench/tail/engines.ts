// The engines of the tail bench, in a process of their own: as many as asked, the last one slowed. Says their ports to its parent.
import process from 'node:process';
import { startEngine, systemClock } from '@infermesh/host';

const [count, slowFactor, model] = process.argv.slice(2);

const engines = await Promise.all(
	Array.from({ length: Number(count) }, (_, index) =>
		startEngine({
			clock: systemClock,
			models: [model ?? ''],
			seed: index,
			faults: index === Number(count) - 1 ? { slow: { factor: Number(slowFactor) } } : {},
		}),
	),
);
process.send?.({ ports: engines.map(({ port }) => port) });
process.once('SIGTERM', () => process.exit(0));
process.once('disconnect', () => process.exit(0));
