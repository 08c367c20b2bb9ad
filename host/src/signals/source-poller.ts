// Owns the regular looks at sources of GPU state: exporters are fetched, tools run, NVML called, each with a bound on time. A source that hangs is not
// asked again until it has answered, and keeps none of the others waiting.
import {
	type GpuReading,
	type GpuSourceKind,
	gpuAdapters,
	gpuBounds,
	gpuTools,
	nvidiaSmiArguments,
	unknownSmiField,
} from '@infermesh/adapters';
import type { Clock, Random } from '@infermesh/proto';
import type { Fetcher, ScrapeResult } from '../fleet/poller.js';
import { Rounds } from '../fleet/rounds.js';

export interface PolledSource {
	readonly kind: GpuSourceKind;
	readonly url: string;
	/** Of a tool or library, in place of its usual name. */
	readonly command: string;
	readonly node: string;
}

/** Runs a program without a shell; resolves with its output whatever its exit code, rejects when it cannot run or takes too long. */
export type RunTool = (
	command: string,
	args: readonly string[],
	limits: { readonly timeoutMs: number; readonly bytesMax: number },
) => Promise<{ readonly code: number; readonly output: string }>;

/** Looks at the devices of a library. */
export type ReadNvml = (
	library: string,
	look: { readonly atMs: number; readonly node: string; readonly timeoutMs: number },
) => Promise<GpuReading>;

export interface SourceLook {
	readonly source: number;
	readonly reading: GpuReading | undefined;
	readonly result: ScrapeResult;
	readonly durationMs: number;
	/** Why there is no reading. */
	readonly error: string;
}

export interface SourcePollerParts {
	readonly sources: readonly PolledSource[];
	/** Node of sources that name none. */
	readonly node: string;
	readonly periodMs: number;
	readonly timeoutMs: number;
	readonly bodyMaxBytes: number;
	readonly clock: Clock;
	readonly random: Random;
	readonly fetch: Fetcher;
	readonly run: RunTool;
	readonly nvml: ReadNvml;
	readonly looked: (look: SourceLook) => void;
}

/** An older nvidia-smi may not know so many of the fields. */
const UNKNOWN_FIELDS_MAX = 16;

export class SourcePoller {
	readonly #parts: SourcePollerParts;
	readonly #rounds: Rounds<number>;
	readonly #looking = new Set<number>();
	readonly #unknownFields = new Map<number, Set<string>>();
	#closed = false;

	/** Looks at each source at once, then regularly. */
	constructor(parts: SourcePollerParts) {
		this.#parts = parts;
		this.#rounds = new Rounds(parts.clock, parts.random, parts.periodMs, (source) => void this.#look(source));
		parts.sources.forEach((_, source) => {
			void this.#look(source);
			this.#rounds.add(source);
		});
	}

	close(): void {
		this.#closed = true;
		this.#parts.sources.forEach((_, source) => this.#rounds.remove(source));
	}

	async #look(source: number): Promise<void> {
		if (this.#looking.has(source)) return;
		this.#looking.add(source);
		const began = this.#parts.clock.nowMs();
		let reading: GpuReading | undefined;
		let result: ScrapeResult = 'error';
		let cause = '';
		try {
			reading = await this.#read(source, this.#parts.sources[source] as PolledSource);
			result = reading.devices.length > 0 ? 'ok' : 'unreadable';
			cause = result === 'ok' ? '' : (reading.unread[0] ?? 'no device');
		} catch (error) {
			if (error instanceof Error && error.name === 'TimeoutError') result = 'timeout';
			cause = error instanceof Error ? error.message : String(error);
		} finally {
			this.#looking.delete(source);
		}
		const durationMs = this.#parts.clock.nowMs() - began;
		if (!this.#closed) this.#parts.looked({ source, reading, result, durationMs, error: cause });
	}

	async #read(source: number, { kind, url, command, node }: PolledSource): Promise<GpuReading> {
		const { clock, timeoutMs } = this.#parts;
		const look = (): { atMs: number; node: string } => ({
			atMs: Math.floor(clock.wallMs()),
			node: node === '' ? this.#parts.node : node,
		});
		if (kind === 'nvml') return await this.#parts.nvml(command, { ...look(), timeoutMs });
		const text = url === '' ? await this.#tool(source, kind, command) : await this.#page(url);
		const reading = gpuAdapters[kind].read(text, look());
		// A node that is configured is right, whatever host name an exporter writes.
		return node === ''
			? reading
			: { ...reading, devices: reading.devices.map((device) => Object.assign(device, { node })) };
	}

	async #page(url: string): Promise<Uint8Array> {
		const { fetch, timeoutMs, bodyMaxBytes } = this.#parts;
		const { status, body } = await fetch(url, { timeoutMs, bodyMaxBytes, apiKey: undefined });
		if (status !== 200) throw new Error(`it answered ${status}`);
		return body;
	}

	async #tool(source: number, kind: GpuSourceKind, command: string): Promise<string> {
		const limits = { timeoutMs: this.#parts.timeoutMs, bytesMax: gpuBounds.textBytesMax };
		const tool = gpuTools[kind];
		if (tool !== undefined) return (await this.#parts.run(command || tool.command, tool.args, limits)).output;
		if (kind !== 'nvidia_smi') throw new Error(`a source of kind ${kind} needs a url`);
		const unknown = this.#unknownFields.get(source) ?? new Set<string>();
		this.#unknownFields.set(source, unknown);
		for (;;) {
			const { output } = await this.#parts.run(command || 'nvidia-smi', nvidiaSmiArguments(unknown), limits);
			const field = unknownSmiField(output);
			if (field === undefined || unknown.has(field) || unknown.size >= UNKNOWN_FIELDS_MAX) return output;
			unknown.add(field);
		}
	}
}
