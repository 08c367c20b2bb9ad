// Owns what is noted of each request and of the run as a whole, and the summary of it. Every request has one row from the start and ends exactly once; what has
// not ended by the end of the run is `unfinished`. Times are those at the router, which stands where the clients are.
import type { Sequence } from '../../engine/model/sequence.js';
import {
	type ArmSummary,
	type RequestRows,
	type RequestStatus,
	requestStatuses,
	type SimulationSummary,
} from '../result.js';
import type { SloSpec, Workload } from '../spec.js';
import { broken } from './broken.js';
import { Digest, Happening } from './digest.js';
import { distributionOf } from './distribution.js';
import type { SimEngine } from './sim-engine.js';
import type { SimRequest } from './sim-request.js';

const UNFINISHED = requestStatuses.indexOf('unfinished');

export class Tally {
	readonly digest = new Digest();
	readonly rows: RequestRows;
	readonly perTarget: Uint32Array;
	arrived = 0;
	ended = 0;
	retries = 0;
	hedges = 0;
	fetches = 0;
	fetchedTokens = 0;
	wastedTokens = 0;
	regretMs = 0;
	regretDecisions = 0;
	#promptTokens = 0;
	#hitTokens = 0;
	readonly #slo: SloSpec;

	constructor(workload: Workload, targets: number, slo: SloSpec, asks: boolean) {
		this.#slo = slo;
		const { requests } = workload;
		const count = requests.length;
		this.perTarget = new Uint32Array(targets);
		this.rows = {
			arrivalMs: new Float64Array(count),
			inputTokens: Uint32Array.from(requests, (row) => row.inputTokens),
			outputTokens: Uint32Array.from(requests, (row) => row.outputTokens),
			ttftMs: new Float64Array(count).fill(-1),
			tpotMs: new Float64Array(count).fill(-1),
			e2eMs: new Float64Array(count).fill(-1),
			heldMs: new Float64Array(count),
			target: new Int32Array(count).fill(-1),
			arm: new Uint8Array(count),
			status: new Uint8Array(count).fill(UNFINISHED),
			cachedTokens: new Uint32Array(count),
			propensity: new Float32Array(count).fill(1),
			...(asks ? { asked: new Int8Array(count) } : {}),
			good: new Uint8Array(count),
		};
	}

	arrive({ index, arm, arrivedUs }: SimRequest): void {
		this.arrived++;
		this.rows.arrivalMs[index] = arrivedUs / 1000;
		this.rows.arm[index] = arm;
		this.digest.add(Happening.arrived, arrivedUs, index, arm, 0);
	}

	/** A decision that led to a row of the fleet table; −1 = it led to none. */
	decided({ index }: SimRequest, atUs: number, row: number, propensity: number): void {
		if (row >= 0) this.rows.propensity[index] = propensity;
		this.digest.add(Happening.decided, atUs, index, row, propensity);
	}

	/** What an arm that decides nothing would have chosen; see `RequestRows.asked`. */
	asked({ index }: SimRequest, answer: 1 | 0 | -1): void {
		if (this.rows.asked !== undefined) this.rows.asked[index] = answer;
	}

	firstToken({ index, arrivedUs }: SimRequest, atUs: number): void {
		if ((this.rows.ttftMs[index] as number) >= 0) throw broken(`request ${index} has two first tokens`);
		this.rows.ttftMs[index] = (atUs - arrivedUs) / 1000;
		this.digest.add(Happening.firstToken, atUs, index, 0, 0);
	}

	/** An engine has finished a sequence, whoever still awaits it. `prefilled`: its prompt was this engine's to compute. */
	served({ index, arrivedUs }: SimRequest, sequence: Sequence, { target }: SimEngine, prefilled: boolean): void {
		const { arrivalUs, readyUs, scheduledUs, firstTokenUs, finishedUs } = sequence;
		const inOrder =
			arrivedUs <= arrivalUs && arrivalUs <= readyUs && readyUs <= scheduledUs && scheduledUs < finishedUs;
		if (!inOrder || firstTokenUs <= scheduledUs || firstTokenUs > finishedUs)
			throw broken(`request ${index} went backwards in time at ${target.id}`);
		const cached = Math.max(0, sequence.cachedTokens) + sequence.hostTokens;
		if (prefilled) {
			this.#promptTokens += sequence.promptTokens;
			this.#hitTokens += cached;
			this.rows.cachedTokens[index] = cached;
		}
		this.digest.add(Happening.served, finishedUs, index, target.index, cached);
	}

	/** A decision cost so much more than the best would have, by the common predictor. */
	regretted(ms: number): void {
		this.regretMs += ms;
		this.regretDecisions++;
	}

	wasted(tokens: number): void {
		this.wastedTokens += tokens;
	}

	fetched(tokens: number): void {
		this.fetches++;
		this.fetchedTokens += tokens;
	}

	/** A request is over. `row`: where its answer came from, −1 = nowhere. */
	end(request: SimRequest, status: RequestStatus, atUs: number, row: number, heldMs: number): void {
		const { index, arrivedUs } = request;
		const { rows } = this;
		if (rows.status[index] !== UNFINISHED) throw broken(`request ${index} has ended twice`);
		this.ended++;
		rows.status[index] = requestStatuses.indexOf(status);
		rows.target[index] = row;
		rows.heldMs[index] = heldMs;
		if (row >= 0) this.perTarget[row] = (this.perTarget[row] as number) + 1;
		this.digest.add(Happening.ended, atUs, index, requestStatuses.indexOf(status), row);
		if (status !== 'finished') return;
		const e2eMs = (atUs - arrivedUs) / 1000;
		const ttftMs = rows.ttftMs[index] as number;
		if (!(ttftMs >= 0 && ttftMs <= e2eMs)) throw broken(`request ${index} finished without a first token`);
		const { inputTokens, outputTokens } = request.row;
		const tpotMs = outputTokens > 1 ? (e2eMs - ttftMs) / (outputTokens - 1) : -1;
		rows.e2eMs[index] = e2eMs;
		rows.tpotMs[index] = tpotMs;
		const slo = this.#slo;
		const good = ttftMs <= slo.ttftMs + slo.ttftPerTokenMs * inputTokens && tpotMs <= slo.tpotMs;
		rows.good[index] = good ? 1 : 0;
	}

	/** What has not ended counts by now as unfinished. Throws IM_SIMULATION_BROKEN when requests are not conserved. */
	summary(engines: readonly SimEngine[], arms: number): SimulationSummary {
		const { rows } = this;
		const counts = requestStatuses.map(() => 0);
		for (const status of rows.status) counts[status] = (counts[status] as number) + 1;
		const [finished = 0, rejected = 0, failed = 0, timedOut = 0, unfinished = 0] = counts;
		if (finished + rejected + failed + timedOut !== this.ended)
			throw broken(`${this.ended} requests ended, ${finished + rejected + failed + timedOut} have a status`);
		const busy = engines.map(({ totals }) => totals.busyUs);
		const busyMean = busy.reduce((sum, one) => sum + one, 0) / busy.length;
		const computed = engines.reduce((sum, { totals }) => sum + totals.prefillTokens + totals.decodeTokens, 0);
		const held = rows.heldMs;
		return {
			requests: rows.status.length,
			finished,
			rejected,
			failed,
			timedOut,
			unfinished,
			ttft: distributionOf(rows.ttftMs),
			tpot: distributionOf(rows.tpotMs),
			e2e: distributionOf(rows.e2eMs),
			held: distributionOf(held, (at) => (held[at] as number) > 0),
			goodput: shareOf(rows.good),
			hitRatio: this.#promptTokens === 0 ? 0 : this.#hitTokens / this.#promptTokens,
			imbalance: busyMean === 0 ? 1 : Math.max(...busy) / busyMean,
			preemptions: engines.reduce((sum, { totals, model }) => sum + totals.preemptions + model.counters.preemptions, 0),
			retries: this.retries,
			hedges: this.hedges,
			hedgeWaste: computed === 0 ? 0 : this.wastedTokens / computed,
			fetches: this.fetches,
			regretMs: this.regretDecisions === 0 ? 0 : this.regretMs / this.regretDecisions,
			arms: Array.from({ length: arms }, (_, arm) => this.#armSummary(arm)),
		};
	}

	#armSummary(arm: number): ArmSummary {
		const { rows } = this;
		let requests = 0;
		let good = 0;
		for (let at = 0; at < rows.arm.length; at++) {
			if (rows.arm[at] !== arm) continue;
			requests++;
			good += rows.good[at] as number;
		}
		return {
			arm,
			requests,
			ttft: distributionOf(rows.ttftMs, (at) => rows.arm[at] === arm),
			goodput: requests === 0 ? 0 : good / requests,
		};
	}
}

function shareOf(flags: Uint8Array): number {
	let sum = 0;
	for (const flag of flags) sum += flag;
	return flags.length === 0 ? 0 : sum / flags.length;
}
