// Owns the table of what off-policy estimates say beside the truth: the baseline explores, the candidate is asked on every frame, and is then run alone.
import { estimateOffPolicy, type LoggedDecision, mean, type RequestRows, simulate } from '@infermesh/host';
import { SeededRandom } from '@infermesh/proto';
import type { BenchContext, Table } from '../bench.js';
import type { Comparison } from './comparisons.js';
import { conversationWorld } from './worlds.js';

const EXPLORATION = 0.3;
const SEED = 1;

export async function offPolicyTable(
	comparisons: readonly Comparison[],
	trace: string,
	{ progress }: BenchContext,
): Promise<Table> {
	const world = await conversationWorld(trace, SEED);
	const rows = comparisons.map(({ name, baseline, candidate }) => {
		progress(`  ${name}`);
		const router = { ...world.spec.router, exploration: EXPLORATION, askedArm: 1 };
		const assignment = { kind: 'single', arm: 0 } as const;
		const logged = simulate({ ...world.spec, router, assignment }, world.workload, [baseline, candidate]).rows;
		const alone = simulate({ ...world.spec, assignment }, world.workload, [candidate]).summary;
		if (logged === undefined) throw new Error('the simulation kept no rows');
		return rowOf(name, decisionsOf(logged), alone.ttft.mean / 1000);
	});
	return {
		title: `Off-policy: the candidate’s mean TTFT in seconds, from the baseline’s requests with ${EXPLORATION * 100} % exploration, beside the truth`,
		columns: [
			'comparison',
			'recorded',
			'SNIPS',
			'IPS',
			'truth',
			'effective n',
			'largest weight',
			'% never recorded',
			'told to the user',
		],
		rows,
		notes: [
			'truth: the candidate alone on the same requests; the estimates are of single decisions, with queues and caches that the baseline made',
			'exploration draws from the four ranked targets of six: choices of the candidate outside them were never recorded, and more than 5 % of those make the estimate be refused',
		],
		aims: [],
	};
}

function decisionsOf(rows: RequestRows): LoggedDecision[] {
	const decisions: LoggedDecision[] = [];
	rows.asked?.forEach((asked, index) => {
		const ttftMs = rows.ttftMs[index] as number;
		if (ttftMs < 0) return;
		decisions.push({
			propensity: Math.min(1, rows.propensity[index] as number),
			targetProbability: asked === 1 ? 1 : 0,
			unsupported: asked === -1 ? 1 : 0,
			outcome: ttftMs / 1000,
		});
	});
	return decisions;
}

function rowOf(name: string, decisions: readonly LoggedDecision[], truth: number): (string | number)[] {
	const result = estimateOffPolicy(decisions, { random: new SeededRandom(SEED) });
	const { support } = result;
	let weights = 0;
	let weighted = 0;
	for (const { propensity, targetProbability, outcome } of decisions) {
		weights += targetProbability / propensity;
		weighted += (targetProbability / propensity) * outcome;
	}
	return [
		name,
		mean(decisions.map(({ outcome }) => outcome)),
		weighted / weights,
		weighted / decisions.length,
		truth,
		support.effectiveSampleSize,
		support.weightMax,
		100 * support.unsupported,
		result.kind === 'refused' ? 'refused' : 'estimates',
	];
}
