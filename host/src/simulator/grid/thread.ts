// Owns one thread of a grid: it gets the compiled strategies once, then jobs, and answers each with an outcome or with what went wrong. Workloads are kept for
// the jobs that share them. The only file of the grid that touches a clock, for the time a run took.
import { parentPort, workerData } from 'node:worker_threads';
import { MeshError } from '@infermesh/proto';
import { systemClock } from '../../main/clock.js';
import { simulate } from '../simulate.js';
import type { Workload } from '../spec.js';
import { openWorkload } from '../workload/open-workload.js';
import { condense } from './outcome.js';
import type { CellJob } from './run.js';
import type { ThreadAnswer, ThreadStart } from './thread-pool.js';

/** Cells come in the order of replications: more than two are never in use at once. */
const WORKLOADS_KEPT = 2;

const port = parentPort;
if (port === null) throw new Error('a simulation thread runs as a worker only');
const { modules, stop } = workerData as ThreadStart;
const workloads = new Map<string, Workload>();

async function workloadOf({ spec, seed, segment }: CellJob['workload']): Promise<Workload> {
	const key = `${seed} ${segment}`;
	const kept = workloads.get(key);
	if (kept !== undefined) return kept;
	const workload = await openWorkload(spec, seed, segment);
	for (const oldest of workloads.keys()) if (workloads.size >= WORKLOADS_KEPT) workloads.delete(oldest);
	workloads.set(key, workload);
	return workload;
}

async function run(job: CellJob): Promise<ThreadAnswer> {
	try {
		const workload = await workloadOf(job.workload);
		const arms = job.arms.flatMap((index) => modules[index] ?? []);
		const result = simulate(job.spec, workload, arms, {
			nowMs: () => systemClock.nowMs(),
			aborted: () => Atomics.load(stop, 0) !== 0,
			onProgress: ({ ended, requests }) => port?.postMessage({ ended, requests } satisfies ThreadAnswer),
		});
		const { name, notes, requests } = workload;
		const spanMs = (requests.at(-1)?.atMs ?? 0) - (requests[0]?.atMs ?? 0);
		return { outcome: condense(result, job.slos, { name, notes, requests: requests.length, spanMs }) };
	} catch (error) {
		if (!(error instanceof MeshError)) return { code: 'IM_SIMULATE_CELL', message: told(error) };
		return {
			code: error.code,
			message: error.message,
			...(error.where === undefined ? {} : { where: error.where }),
		};
	}
}

/** What no room has named is a bug: its place helps whoever mends it. */
function told(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	return `${error.message}${error.stack?.split('\n')[1]?.replace(/^\s+/, ' ') ?? ''}`;
}

port.on('message', (job: CellJob) => void run(job).then((answer) => port.postMessage(answer)));
