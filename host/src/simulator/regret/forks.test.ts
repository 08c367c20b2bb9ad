// True regret by forks: the same choice changes nothing, a fork has the same arrivals, and a strategy that herds regrets more than one that sees queues.
import test from 'ava';
import { prepareStrategy } from '../../project/prepare.js';
import { simulate } from '../simulate.js';
import { group, specOf, workloadOf } from '../simulation.test-support.js';
import { renderTrueRegret, trueRegret } from './forks.js';

const leastQueue = (await prepareStrategy('least_queue')).module;
const roundRobin = (await prepareStrategy('baseline_rr')).module;
/** One engine is slow: where a request goes matters. */
const fleet = [group({ id: 'fast', count: 3 }), group({ id: 'slow', count: 1, slowFactor: 6 })];
const spec = specOf({ fleet, keepRequests: true });
const workload = workloadOf({ requests: 150, ratePerS: 25 });

test('a decision forced to what was chosen changes nothing; forced elsewhere, everything before it stays', (t) => {
	const base = simulate(spec, workload, [leastQueue]);
	const request = 60;
	const row = base.rows?.target[request] as number;
	const same = simulate({ ...spec, router: { ...spec.router, forced: { request, row } } }, workload, [leastQueue]);
	t.is(same.digest, base.digest);
	const other = (row + 1) % 4;
	const forked = simulate({ ...spec, router: { ...spec.router, forced: { request, row: other } } }, workload, [
		leastQueue,
	]);
	t.is(forked.rows?.target[request], other);
	t.not(forked.digest, base.digest);
	t.deepEqual(forked.rows?.arrivalMs, base.rows?.arrivalMs, 'the same arrivals');
	t.deepEqual(forked.rows?.target.slice(0, request), base.rows?.target.slice(0, request), 'the same decisions before');
	t.is(forked.summary.finished, 150);
});

test('a strategy that sees queues regrets less than round robin, and beats chance', async (t) => {
	const options = { decisions: 40, alternatives: 3, seed: 5 };
	const seeing = await trueRegret(spec, workload, leastQueue, options);
	const blind = await trueRegret(spec, workload, roundRobin, options);
	t.is(seeing.runs, 121);
	t.is(seeing.forks.length, 40);
	t.log(renderTrueRegret('least_queue', seeing));
	t.log(renderTrueRegret('baseline_rr', blind));
	t.true(blind.ownRegretMs.mean > 2 * seeing.ownRegretMs.mean);
	t.true(blind.regretMs.mean > seeing.regretMs.mean && blind.advantageMs.mean < seeing.advantageMs.mean);
	t.true(seeing.advantageMs.interval.lower > 0, 'better than another target drawn evenly');
	t.true(seeing.regretMs.mean >= 0 && seeing.regretMs.interval.lower <= seeing.regretMs.mean);
	const again = await trueRegret(spec, workload, leastQueue, options);
	t.deepEqual(again, seeing, 'and the same seed gives the same figures');
});

test('it can be stopped between runs, and counts that cannot be are refused', async (t) => {
	const stopped = await trueRegret(spec, workload, leastQueue, {
		decisions: 40,
		alternatives: 3,
		seed: 5,
		after: (runs) => runs >= 10,
	});
	t.true(stopped.partial);
	t.deepEqual([stopped.runs, stopped.forks.length], [10, 2], 'whole decisions only');
	for (const wrong of [{ decisions: 0 }, { alternatives: 0 }, { decisions: 1e6 }])
		await t.throwsAsync(trueRegret(spec, workload, leastQueue, { decisions: 1, alternatives: 1, seed: 1, ...wrong }), {
			instanceOf: RangeError,
		});
});
