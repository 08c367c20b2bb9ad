// Owns the watch loop of `infermesh dev`: a save is compiled, checked and handed to a callback that swaps it into the mesh. One turn at a time; saves
// during a turn start one more. An error in any step ends the turn and leaves what was loaded in place.
import path from 'node:path';
import { type Clock, MeshError, type Timer } from '@infermesh/proto';
import { type FSWatcher, watch } from 'chokidar';
import type { AdmissionReport } from '../strategy/admission/report.js';
import { authorInspection, inspectForAuthor } from './check-project.js';
import { openStrategy } from './prepare.js';

export type DevStep = 'build' | 'check' | 'load';

/** What happened; steps come in the order build, check, load. */
export type DevEvent =
	| { readonly kind: 'watching'; readonly dir: string }
	| { readonly kind: 'changed'; readonly files: readonly string[] }
	| { readonly kind: 'step'; readonly step: DevStep; readonly ms: number; readonly note: string }
	| { readonly kind: 'swapped'; readonly strategy: string; readonly digest: string; readonly ms: number }
	| { readonly kind: 'failed'; readonly step: DevStep; readonly error: MeshError | AdmissionReport };

export interface DevOptions {
	/** Loads and activates the module in the mesh; its rejection keeps the old version. Its text is shown. */
	readonly load: (wasm: Uint8Array, sourceMap: string | undefined) => Promise<string>;
	readonly clock: Clock;
	readonly onEvent: (event: DevEvent) => void;
	/** Ends the loop. */
	readonly signal: AbortSignal;
	/** Quiet time after a save before a turn starts: editors write in several steps. Default 60 ms. */
	readonly settleMs?: number;
}

const SETTLE_MS = 60;
/** Changed files named in one event. */
const FILES_SHOWN = 8;
/** Sizes calibrated in a turn: enough to see a blow-up, few enough to stay well below two seconds. */
const calibration = { ...authorInspection.calibration, sizes: [16, 1024] };

/** Runs until `signal` aborts. The first turn starts at once. Throws when `dir` cannot be watched, and what is no `MeshError`. */
export async function devProject(dir: string, options: DevOptions): Promise<void> {
	const root = path.resolve(dir);
	const loop = new DevLoop(root, options);
	const watcher = watch(root, { ignoreInitial: true, ignored: (file) => isIgnored(path.relative(root, file)) });
	try {
		await ready(watcher);
		options.onEvent({ kind: 'watching', dir: root });
		watcher.on('all', (_event, file) => loop.changed(path.relative(root, file)));
		watcher.on('error', (error) => loop.fail(error));
		loop.start();
		await Promise.race([aborted(options.signal), loop.failure]);
	} finally {
		loop.stop();
		await watcher.close();
	}
}

/** Text of an event: one line, or a few for a failure. */
export function renderDevEvent(event: DevEvent): string {
	switch (event.kind) {
		case 'watching':
			return `watching ${event.dir}\n`;
		case 'changed':
			return `changed ${event.files.join(', ')}\n`;
		case 'step':
			return `  ${event.step.padEnd(6)} ${String(Math.round(event.ms)).padStart(5)} ms  ${event.note}`
				.trimEnd()
				.concat('\n');
		case 'swapped':
			return `  ${event.strategy} is active after ${Math.round(event.ms)} ms (digest ${event.digest.slice(0, 12)})\n`;
		case 'failed':
			return `  ${event.step} failed; the version before stays active\n${indent(failureText(event.error))}`;
		default:
			return '';
	}
}

function failureText(error: MeshError | AdmissionReport): string {
	if (error instanceof MeshError) return error.format();
	return error.refusals
		.map((refusal) => `${refusal.code}: ${refusal.where}: ${refusal.message}\n  hint: ${refusal.hint}`)
		.join('\n');
}

function indent(text: string): string {
	return `${text
		.split('\n')
		.map((line) => `    ${line}`)
		.join('\n')}\n`;
}

/** Built files and what no build reads. A change of the compiler's own output must not start a turn. */
function isIgnored(relative: string): boolean {
	const [first = ''] = relative.split(path.sep);
	if (first === 'build' || first === 'node_modules' || first.startsWith('.git')) return true;
	return /(?:^|[\\/])manifest\.ts$|(?:~|\.swp|\.tmp)$/.test(relative);
}

class DevLoop {
	readonly #root: string;
	readonly #options: DevOptions;
	readonly #pending = new Set<string>();
	#settling: Timer | undefined;
	readonly #failed = Promise.withResolvers<never>();
	#running = false;
	#stopped = false;

	constructor(root: string, options: DevOptions) {
		this.#root = root;
		this.#options = options;
	}

	/** Rejects when a turn or the watcher failed in a way that no next save can mend. */
	get failure(): Promise<never> {
		return this.#failed.promise;
	}

	fail(error: unknown): void {
		this.#failed.reject(error);
	}

	start(): void {
		this.#turn().catch((error: unknown) => this.fail(error));
	}

	/** Notes a change and starts a turn once saves have settled. */
	changed(file: string): void {
		if (this.#stopped) return;
		this.#pending.add(file);
		this.#settling?.cancel();
		this.#settling = this.#options.clock.after(this.#options.settleMs ?? SETTLE_MS, () => this.start());
	}

	stop(): void {
		this.#stopped = true;
		this.#settling?.cancel();
	}

	/** One turn now, and one more for each batch of changes that came meanwhile. */
	async #turn(): Promise<void> {
		if (this.#running) return;
		this.#running = true;
		do {
			const files = [...this.#pending].slice(0, FILES_SHOWN);
			this.#pending.clear();
			if (files.length > 0) this.#options.onEvent({ kind: 'changed', files });
			await this.#once();
		} while (this.#pending.size > 0 && !this.#stopped);
		this.#running = false;
	}

	async #once(): Promise<void> {
		const { clock, load, onEvent } = this.#options;
		const began = clock.nowMs();
		let step: DevStep = 'build';
		let stepBegan = began;
		const done = (note: string): void => {
			const now = clock.nowMs();
			onEvent({ kind: 'step', step, ms: now - stepBegan, note });
			stepBegan = now;
		};
		try {
			const { wasm, sourceMap } = await openStrategy(this.#root);
			done(`${wasm.length} bytes`);
			step = 'check';
			const report = await inspectForAuthor(wasm, { calibration, sourceMap }, clock);
			if (!report.admitted) {
				onEvent({ kind: 'failed', step, error: report });
				return;
			}
			const isModule = report.platform === 'wasm';
			const figure = (size: AdmissionReport['sizes'][number]): string =>
				isModule ? `${size.fuelMax} fuel` : `${size.timeP50Us.toFixed(2)} µs`;
			done(report.sizes.map((size) => `${figure(size)} at ${size.targets}`).join(', '));
			step = 'load';
			done(await load(wasm, sourceMap));
			onEvent({
				kind: 'swapped',
				strategy: `${report.name}@${report.version}`,
				digest: report.digest,
				ms: clock.nowMs() - began,
			});
		} catch (error) {
			if (!(error instanceof MeshError)) throw error;
			onEvent({ kind: 'failed', step, error });
		}
	}
}

function ready(watcher: FSWatcher): Promise<void> {
	return new Promise((resolve, reject) => {
		watcher.once('ready', () => resolve());
		watcher.once('error', reject);
	});
}

function aborted(signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted) resolve();
		else signal.addEventListener('abort', () => resolve(), { once: true });
	});
}
