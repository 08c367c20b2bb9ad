// What the guardrails of a lone node's experiments have building up, on disk: one small file beside the experiments, replaced whole by rename, so that a restart does not
// begin the windows anew. Bounded by the experiments that run and by what is told of each. Whoever holds the folder's lock makes it; a damaged file costs the windows only.
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { writePrivateFile } from '@infermesh/fabric';
import { type Clock, MeshError } from '@infermesh/proto';
import { type GuardrailWindows, guardrailWindowsSchema } from '../experiments/design/guardrail-windows.js';
import { experimentErrors } from '../experiments/errors.js';
import { faultOf } from '../records/records.js';

const FILE = 'experiment-windows.json';
const SCHEMA = 'infermesh.kept-windows.v1';
/** Sixteen experiments at once, each with at most 16 samples of 32 targets: about 60 KB each. */
const FILE_BYTES_MAX = 4 << 20;

interface Kept {
	readonly schema: typeof SCHEMA;
	readonly windows: Readonly<Record<string, GuardrailWindows>>;
}

export interface KeptWindowsParts {
	readonly folder: string;
	readonly clock: Clock;
	/** Changes within so many milliseconds are written together. */
	readonly writeAfterMs: number;
	readonly failed: (error: unknown) => void;
}

export class KeptWindows {
	readonly #parts: KeptWindowsParts;
	readonly #windows = new Map<string, GuardrailWindows>();
	#due: { cancel(): void } | undefined;

	/** Begins with what the file has, by id of experiment. */
	constructor(parts: KeptWindowsParts) {
		this.#parts = parts;
		for (const [id, windows] of Object.entries(this.#read())) this.#windows.set(id, windows);
	}

	of(id: string): GuardrailWindows | undefined {
		return this.#windows.get(id);
	}

	/** Undefined = nothing builds up any more. */
	tell(id: string, windows: GuardrailWindows | undefined): void {
		if (windows !== undefined) this.#windows.set(id, windows);
		else if (!this.#windows.delete(id)) return;
		this.#due ??= this.#parts.clock.after(this.#parts.writeAfterMs, () => this.flush(), { unref: true });
	}

	/** Only what these experiments have. */
	retain(ids: ReadonlySet<string>): void {
		for (const id of this.#windows.keys()) if (!ids.has(id)) this.tell(id, undefined);
	}

	/** Writes what is not written yet. */
	flush(): void {
		if (this.#due === undefined) return;
		this.#due.cancel();
		this.#due = undefined;
		const { failed } = this.#parts;
		try {
			const windows = Object.fromEntries(this.#windows);
			if (this.#windows.size === 0) rmSync(this.#file, { force: true });
			else writePrivateFile(this.#file, `${JSON.stringify({ schema: SCHEMA, windows } satisfies Kept)}\n`);
		} catch (cause) {
			failed(
				new MeshError(experimentErrors, 'IM_EXPERIMENT_KEPT_WRITE', 'what guardrails have seen could not be written', {
					where: this.#file,
					cause,
				}),
			);
		}
	}

	get #file(): string {
		return path.join(this.#parts.folder, FILE);
	}

	#read(): Kept['windows'] {
		if (!existsSync(this.#file)) return {};
		try {
			const { size } = statSync(this.#file);
			if (size > FILE_BYTES_MAX) throw new RangeError(`it has ${size} bytes`);
			const { schema, windows } = JSON.parse(readFileSync(this.#file, 'utf8')) as Partial<Kept>;
			if (schema !== SCHEMA || typeof windows !== 'object') throw new RangeError(`its schema is not ${SCHEMA}`);
			for (const [id, one] of Object.entries(windows)) {
				const fault = faultOf(guardrailWindowsSchema, one);
				if (fault !== undefined) throw new RangeError(`windows.${id}${fault}`);
			}
			return windows;
		} catch (cause) {
			const why = cause instanceof Error ? cause.message : String(cause);
			this.#parts.failed(
				new MeshError(experimentErrors, 'IM_EXPERIMENT_KEPT', `${why}; guardrails begin anew`, {
					where: this.#file,
					cause,
				}),
			);
			return {};
		}
	}
}
