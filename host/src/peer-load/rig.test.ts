import test from 'ava';
import { prepareStrategy } from '../project/prepare.js';
import { type RoutersRigOptions, runRouters } from './rig.js';

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

test('four routers that tell each other decide by one load; each for itself they herd', async (t) => {
	const { module: strategy } = await prepareStrategy('least_queue');
	const run = (more: Partial<RoutersRigOptions>) =>
		runRouters({
			seed: 1,
			routers: 4,
			targets: 20,
			strategy,
			profile: 'h100-8b',
			ratePerS: 200,
			durationMs: 4000,
			reportPeriodMs: 100,
			reportDelayMs: 100,
			sharePeriodMs: 5,
			shareDelayMs: 1,
			...more,
		});
	const together = run({});
	const again = run({});
	const apart = run({ sharePeriodMs: 0 });
	t.deepEqual(together.ttftMs, again.ttftMs, 'the same from the same seed');
	t.is(together.completed, apart.completed, 'the same requests');
	t.true(together.completed > 500);
	t.true(mean(together.errorRequests) < 0.1, `${mean(together.errorRequests)}`);
	t.true(mean(apart.errorRequests) > 20 * mean(together.errorRequests));
	t.true(mean(together.ttftMs) < 0.7 * mean(apart.ttftMs), `${mean(together.ttftMs)} ${mean(apart.ttftMs)}`);
});
