// Owns which arm decides a request, and which targets an arm may use: alone, by request, by halves of the fleet, or by alternating blocks of time. All draws
// come from the seed, so that every run of a spec assigns alike.
import { MeshError } from '@infermesh/proto';
import { armOfBlock } from '../../experiments/design/schedule.js';
import { hashText } from '../../router/hash.js';
import type { SimulationSpec } from '../spec.js';
import { simulationErrors } from './errors.js';
import { toUs } from './sim-clock.js';
import type { WorkloadRow } from './sim-request.js';
import { Stream, stream } from './streams.js';

const hash = { low: 0, high: 0 };

export class Assignment {
	/** Pool rows of each arm; undefined = every arm has all. */
	readonly rowsOfArm: ((arm: number) => Uint32Array) | undefined;
	readonly #spec: SimulationSpec;

	/** Throws IM_SIMULATION_ARMS when strategies and assignment do not agree. */
	constructor(spec: SimulationSpec, arms: number, targets: number) {
		this.#spec = spec;
		const { assignment } = spec;
		const wanted = assignment.kind === 'single' ? assignment.arm + 1 : 2;
		const enough = assignment.kind === 'single' ? arms >= wanted && assignment.arm >= 0 : arms === wanted;
		if (!enough)
			throw new MeshError(
				simulationErrors,
				'IM_SIMULATION_ARMS',
				`assignment ${assignment.kind} with ${arms} ${arms === 1 ? 'strategy' : 'strategies'}`,
			);
		if (assignment.kind === 'split') {
			const halves = drawHalves(targets, stream(spec.seed, Stream.assignment));
			this.rowsOfArm = (arm) => halves[arm] as Uint32Array;
		}
	}

	/** The arm of a request that comes at `atUs`. */
	armOf(index: number, { session }: WorkloadRow, atUs: number): number {
		const { assignment, seed } = this.#spec;
		if (assignment.kind === 'single') return assignment.arm;
		if (assignment.kind === 'switchback') return armInBlock(seed, Math.floor(atUs / toUs(assignment.blockMs)));
		hashText(`${seed}:${session ?? index}`, hash);
		const draw = hash.low / 0x1_0000_0000;
		return draw < (assignment.kind === 'request' ? assignment.share : 0.5) ? 1 : 0;
	}
}

/** By the schedule of experiments on a running mesh; the second strategy is the candidate. */
function armInBlock(seed: number, block: number): number {
	return armOfBlock(seed, block) === 'candidate' ? 1 : 0;
}

/** Two bitmaps of rows, as even as the number allows. */
function drawHalves(targets: number, random: { nextFloat(): number }): readonly [Uint32Array, Uint32Array] {
	const rows = Array.from({ length: targets }, (_, row) => row);
	for (let at = rows.length - 1; at > 0; at--) {
		const other = Math.floor(random.nextFloat() * (at + 1));
		[rows[at], rows[other]] = [rows[other] as number, rows[at] as number];
	}
	const words = Math.max(1, Math.ceil(targets / 32));
	const halves = [new Uint32Array(words), new Uint32Array(words)] as const;
	for (const [at, row] of rows.entries()) {
		const half = halves[at < targets / 2 ? 0 : 1];
		half[row >>> 5] = (half[row >>> 5] as number) | (1 << (row & 31));
	}
	return halves;
}
