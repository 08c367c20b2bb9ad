// What an engine holds, in runs, against a naive model that does the same block by block: what is found, what is let go and in which order, what is told.
import test from 'ava';
import * as fc from 'fast-check';
import { BlockRuns } from './block-runs.js';
import { engineModelConfig } from './engine-config.js';
import { KvManager } from './kv-manager.js';
import type { KvObserver } from './kv-observer.js';
import { engineProfile } from './profiles.js';
import { SequenceRecord } from './sequence.js';

const TOKENS = 4;
const profile = engineProfile('h100-8b');

/** The caches of an engine in plain words, one block at a time. Sequences have a content or undefined for each block. */
class NaiveCache {
	readonly references = new Map<number, number>();
	/** Unreferenced contents, the next to go first. */
	readonly idle: number[] = [];
	readonly host: number[] = [];
	empty: number;
	readonly #hostMax: number;

	constructor(blocks: number, hostMax: number) {
		this.empty = blocks;
		this.#hostMax = hostMax;
	}

	get free(): number {
		return this.empty + this.idle.length;
	}

	leading(contents: readonly number[]): { device: number; used: number; host: number } {
		let device = 0;
		let used = 0;
		for (; device < contents.length && this.references.has(contents[device] as number); device++)
			if ((this.references.get(contents[device] as number) as number) > 0) used++;
		let host = 0;
		while (device + host < contents.length && this.host.includes(contents[device + host] as number)) host++;
		return { device, used, host };
	}

	take(): void {
		if (this.empty > 0) {
			this.empty--;
			return;
		}
		const gone = this.idle.shift() as number;
		this.references.delete(gone);
		if (this.#hostMax > 0) this.#toHost(gone);
	}

	touchHost(content: number): void {
		this.host.push(...this.host.splice(this.host.indexOf(content), 1));
	}

	retain(content: number): void {
		const before = this.references.get(content) as number;
		if (before === 0) this.idle.splice(this.idle.indexOf(content), 1);
		this.references.set(content, before + 1);
	}

	/** Whether the content is new. */
	name(content: number): boolean {
		if (this.references.has(content)) return false;
		this.references.set(content, 1);
		return true;
	}

	release(contents: readonly (number | undefined)[]): void {
		for (const content of contents.toReversed()) {
			if (content === undefined) this.empty++;
			else {
				const left = (this.references.get(content) as number) - 1;
				this.references.set(content, left);
				if (left === 0) this.idle.push(content);
			}
		}
	}

	#toHost(content: number): void {
		if (this.host.includes(content)) return this.touchHost(content);
		if (this.host.length === this.#hostMax) this.host.shift();
		this.host.push(content);
	}
}

/** What an observer knows after what it was told. */
class Listener implements KvObserver {
	readonly device = new Set<number>();
	readonly host = new Set<number>();

	stored(blocks: BlockRuns, _tokens: Uint32Array, from: number, to: number): void {
		for (let at = from; at < to; at++) this.device.add(numberAt(blocks, at));
	}

	spilled(first: number, count: number): void {
		for (let number = first + count - 1; number >= first; number--) {
			if (!this.device.delete(number)) throw new Error(`${number} was not on the device`);
			this.host.add(number);
		}
	}

	removed(first: number, count: number, tier: 'device' | 'host'): void {
		for (let number = first + count - 1; number >= first; number--)
			if (!this[tier].delete(number)) throw new Error(`${number} was not on the ${tier}`);
	}
}

function numberAt(blocks: BlockRuns, place: number): number {
	return blocks.number(blocks.runOf(place), place);
}

interface Live {
	readonly record: SequenceRecord;
	/** Of each of its blocks. */
	readonly contents: (number | undefined)[];
}

/** Admits a sequence to both if it fits; 'wrong' when they do not agree. */
function begin(
	cache: KvManager,
	naive: NaiveCache,
	id: number,
	pieces: readonly (readonly [first: number, count: number])[],
	tail: number,
): Live | 'wrong' | undefined {
	const blocks = new BlockRuns();
	for (const [first, count] of pieces) blocks.add(first, count);
	const promptTokens = blocks.length * TOKENS + tail;
	const record = new SequenceRecord(id, { promptTokens, outputTokens: 1, blocks, tokens: new Uint32Array() }, 0, 0);
	const asked = Math.min(blocks.length, Math.floor((promptTokens - 1) / TOKENS));
	const found = naive.leading(Array.from({ length: asked }, (_, at) => numberAt(blocks, at)));
	const needed = Math.ceil(promptTokens / TOKENS);
	const fits = cache.fits(record);
	if (fits !== needed - found.used <= naive.free) return 'wrong';
	if (!fits) return undefined;
	if (cache.deviceBlocks !== found.device || cache.hostBlocks !== found.host) return 'wrong';
	cache.allocate(record);
	const contents: (number | undefined)[] = [];
	for (let at = 0; at < found.device; at++) {
		naive.retain(numberAt(blocks, at));
		contents.push(numberAt(blocks, at));
	}
	for (let at = found.device; at < found.device + found.host; at++) naive.touchHost(numberAt(blocks, at));
	while (contents.length < needed) {
		naive.take();
		contents.push(undefined);
	}
	const live = { record, contents };
	name(naive, live, found.device, found.device + found.host);
	return live;
}

function fill(cache: KvManager, naive: NaiveCache, live: Live, tokens: number): void {
	const { record } = live;
	const from = record.computedTokens;
	const to = Math.min(record.promptTokens, from + tokens);
	cache.nameFilled(record, from, to);
	record.computedTokens = to;
	name(naive, live, Math.floor(from / TOKENS), Math.floor(to / TOKENS));
}

function name(naive: NaiveCache, { record, contents }: Live, from: number, to: number): void {
	const blocks = record.blocks as BlockRuns;
	for (let at = from; at < Math.min(to, blocks.length); at++)
		if (naive.name(numberAt(blocks, at))) contents[at] = numberAt(blocks, at);
}

test('property: runs hold and let go what single blocks would', (t) => {
	const seed = 20_268;
	t.log(`seed ${seed}`);
	const prompt = fc.array(fc.tuple(fc.nat({ max: 24 }), fc.integer({ min: 1, max: 8 })), {
		minLength: 1,
		maxLength: 3,
	});
	const step = fc.record({
		// `serve` begins a sequence, fills all of it and ends it.
		kind: fc.constantFrom('serve', 'serve', 'serve', 'begin', 'fill', 'end'),
		prompt,
		tail: fc.nat({ max: 9 }),
		which: fc.nat({ max: 5 }),
		share: fc.nat({ max: 4 }),
	});
	fc.assert(
		fc.property(
			fc.array(step, { minLength: 30, maxLength: 90 }),
			fc.constantFrom(14, 22, 30),
			fc.constantFrom(0, 1, 7, 16, 50),
			(steps, kvBlocks, hostBlocks) => {
				const listener = new Listener();
				const config = engineModelConfig(profile, { blockTokens: TOKENS, kvBlocks, hostBlocks });
				const cache = new KvManager(config, listener);
				const naive = new NaiveCache(kvBlocks, hostBlocks);
				const live: Live[] = [];
				for (const [id, { kind, prompt: pieces, tail, which, share }] of steps.entries()) {
					if (kind === 'begin' || kind === 'serve') {
						const begun = begin(cache, naive, id, pieces, tail);
						if (begun === 'wrong') return false;
						if (begun !== undefined) live.push(begun);
						if (begun === undefined || kind === 'begin') continue;
					}
					const one = kind === 'serve' ? live.at(-1) : live[which % Math.max(1, live.length)];
					if (one === undefined) continue;
					if (kind !== 'end')
						fill(cache, naive, one, kind === 'serve' ? one.record.promptTokens : share * TOKENS + tail);
					if (kind !== 'fill') {
						cache.release(one.record);
						naive.release(one.contents);
						live.splice(live.indexOf(one), 1);
					}
					cache.checkInvariants(live.map(({ record }) => record));
					if (cache.free !== naive.free || cache.hostUsed !== naive.host.length) return false;
					if (!same(listener.device, naive.references.keys()) || !same(listener.host, naive.host)) return false;
				}
				return true;
			},
		),
		{ seed, numRuns: 1000 },
	);
	t.pass();
});

function same(told: ReadonlySet<number>, held: Iterable<number>): boolean {
	const all = [...held];
	return all.length === told.size && all.every((content) => told.has(content));
}
