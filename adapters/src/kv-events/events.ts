// Owns what a batch of KV events of vLLM or SGLang says, whichever way it is written: batch and events as arrays with a tag (fields by
// position, trailing ones left out) or as maps with a `type`, at either level; hashes as integers or bytes. What cannot be
// read of one event costs that event, not the batch.
import { decodeMsgpack, MsgpackError, type MsgpackValue } from './msgpack.js';

/** Where a block lies: device memory, host memory, or a disk or another store. The values are those of the strategies' CacheTier. */
export const KvTier = { device: 0, host: 1, disk: 2 } as const;

/** Names of blocks as the engine gives them, 64 bits in two words each; a longer name is folded into them. */
export interface BlockNames {
	readonly lows: Uint32Array;
	readonly highs: Uint32Array;
}

export interface BlocksStored {
	readonly kind: 'stored';
	readonly blocks: BlockNames;
	/** Block that the first one follows; undefined at the start of a prompt. */
	readonly parent: { readonly low: number; readonly high: number } | undefined;
	/** Tokens of all blocks in order; empty where the engine leaves them out of a block it has named before. */
	readonly tokens: Uint32Array;
	readonly blockTokens: number;
	/** Adapter by name, or `id:N` where only its number is given; empty = none. */
	readonly lora: string;
	readonly tier: number;
	/** First block that tokens alone do not name (images, a cache salt); blocks from it on cannot be matched. */
	readonly plainBlocks: number;
}

export interface BlocksRemoved {
	readonly kind: 'removed';
	readonly blocks: BlockNames;
	readonly tier: number;
}

export type KvEvent = BlocksStored | BlocksRemoved | { readonly kind: 'cleared' };

export interface KvEventBatch {
	/** Seconds since the Unix epoch, as the engine's clock has it; 0 = not given. */
	readonly atS: number;
	readonly events: readonly KvEvent[];
	/** Events that could not be read or are of a kind not known. */
	readonly unread: number;
	readonly dpRank: number | undefined;
}

type Fields = (name: string, position: number) => MsgpackValue | undefined;

/** Throws MsgpackError when the batch as a whole cannot be read. */
export function decodeKvEvents(payload: Uint8Array): KvEventBatch {
	const batch = decodeMsgpack(payload);
	const field = fieldsOf(batch, 0);
	const events = field('events', 1);
	if (!Array.isArray(events)) throw new MsgpackError('a batch has no list of events');
	const read = (events as readonly MsgpackValue[]).map(readEvent);
	const known = read.filter((event) => event !== undefined);
	const rank = field('data_parallel_rank', 2) ?? field('attn_dp_rank', 2);
	const atS = field('ts', 0);
	return {
		atS: typeof atS === 'number' && Number.isFinite(atS) ? atS : 0,
		events: known,
		unread: read.length - known.length,
		dpRank: typeof rank === 'number' ? rank : undefined,
	};
}

/** Fields by name of a map, by position of an array; `first` is the position of the first after a tag. */
function fieldsOf(value: MsgpackValue, first: number): Fields {
	if (value instanceof Map) return (name) => (value as ReadonlyMap<string, MsgpackValue>).get(name);
	if (Array.isArray(value)) return (_name, position) => (value as readonly MsgpackValue[])[position + first];
	throw new MsgpackError('neither a map nor an array');
}

function readEvent(event: MsgpackValue): KvEvent | undefined {
	const tag =
		event instanceof Map ? event.get('type') : Array.isArray(event) ? (event as readonly MsgpackValue[])[0] : undefined;
	if (typeof tag !== 'string') return undefined;
	const field = fieldsOf(event, 1);
	switch (tag) {
		case 'BlockStored':
			return stored(field);
		case 'BlockRemoved':
			return removed(field);
		case 'AllBlocksCleared':
			return { kind: 'cleared' };
		default:
			return undefined;
	}
}

function stored(field: Fields): BlocksStored | undefined {
	const group = groupOf(field('group_idx', 8));
	const blocks = names(field('block_hashes', 0), group);
	const tokens = tokenIds(field('token_ids', 2));
	const blockTokens = field('block_size', 3);
	if (blocks === undefined || tokens === undefined || !isFullAttention(field('kv_cache_spec_kind', 9)))
		return undefined;
	if (typeof blockTokens !== 'number' || !Number.isInteger(blockTokens) || blockTokens < 1 || blockTokens > 65_536)
		return undefined;
	if (tokens.length !== 0 && tokens.length !== blocks.lows.length * blockTokens) return undefined;
	const parent = field('parent_block_hash', 1) ?? null;
	const parentNames = parent === null ? undefined : names([parent], group);
	if (parent !== null && parentNames === undefined) return undefined;
	const lora = loraOf(field('lora_id', 4), field('lora_name', 6));
	return {
		kind: 'stored',
		blocks,
		parent:
			parentNames === undefined
				? undefined
				: { low: parentNames.lows[0] as number, high: parentNames.highs[0] as number },
		tokens,
		blockTokens,
		lora,
		tier: tierOf(field('medium', 5)),
		plainBlocks: plainBlocks(field('extra_keys', 7), blocks.lows.length, lora),
	};
}

function removed(field: Fields): BlocksRemoved | undefined {
	const blocks = names(field('block_hashes', 0), groupOf(field('group_idx', 2)));
	return blocks === undefined ? undefined : { kind: 'removed', blocks, tier: tierOf(field('medium', 1)) };
}

/** Only full attention keeps whole prefixes; a sliding window forgets their starts. */
function isFullAttention(kind: MsgpackValue | undefined): boolean {
	return typeof kind !== 'string' || (kind.includes('full') && !kind.includes('sliding'));
}

function groupOf(group: MsgpackValue | undefined): number {
	return typeof group === 'number' && Number.isInteger(group) ? group : 0;
}

/** Unknown media are taken for the farthest tier: a hit there is promised least. */
function tierOf(medium: MsgpackValue | undefined): number {
	if (typeof medium !== 'string') return KvTier.device;
	const name = medium.toUpperCase();
	if (name.includes('GPU') || name.includes('HBM') || name.includes('DEVICE')) return KvTier.device;
	if (name.includes('CPU') || name.includes('HOST') || name.includes('DRAM')) return KvTier.host;
	return KvTier.disk;
}

function loraOf(id: MsgpackValue | undefined, name: MsgpackValue | undefined): string {
	if (typeof name === 'string' && name !== '') return name;
	if (typeof id === 'number' || typeof id === 'bigint') return `id:${id}`;
	return typeof id === 'string' ? id : '';
}

/** Extra keys that are no more than the adapter say nothing new. */
function plainBlocks(extraKeys: MsgpackValue | undefined, blocks: number, lora: string): number {
	if (!Array.isArray(extraKeys)) return extraKeys === null || extraKeys === undefined ? blocks : 0;
	const isPlain = (key: MsgpackValue): boolean =>
		key === null ||
		key === lora ||
		(typeof key === 'number' && `id:${key}` === lora) ||
		(Array.isArray(key) && key.every(isPlain));
	const at = (extraKeys as readonly MsgpackValue[]).findIndex((key) => !isPlain(key));
	return at < 0 ? blocks : Math.min(at, blocks);
}

function tokenIds(value: MsgpackValue | undefined): Uint32Array | undefined {
	if (!Array.isArray(value)) return undefined;
	const list = value as readonly MsgpackValue[];
	const tokens = new Uint32Array(list.length);
	for (let at = 0; at < list.length; at++) {
		const id = list[at];
		if (typeof id !== 'number' || id < 0 || id > 0xffff_ffff || !Number.isInteger(id)) return undefined;
		tokens[at] = id;
	}
	return tokens;
}

function names(value: MsgpackValue | undefined, group: number): BlockNames | undefined {
	if (!Array.isArray(value)) return undefined;
	const list = value as readonly MsgpackValue[];
	const lows = new Uint32Array(list.length);
	const highs = new Uint32Array(list.length);
	for (let at = 0; at < list.length; at++) {
		const name = list[at] as MsgpackValue;
		if (name instanceof Uint8Array) fold(name, lows, highs, at);
		else if (typeof name === 'bigint' || (typeof name === 'number' && Number.isInteger(name)))
			split(name, lows, highs, at);
		else return undefined;
		// One engine may cache the same tokens once for each group of layers, under one name.
		highs[at] = (highs[at] as number) ^ Math.imul(group, 0x9e3779b1);
	}
	return { lows, highs };
}

function split(name: number | bigint, lows: Uint32Array, highs: Uint32Array, at: number): void {
	if (typeof name === 'bigint') {
		const bits = BigInt.asUintN(64, name);
		lows[at] = Number(bits & 0xffff_ffffn);
		highs[at] = Number(bits >> 32n);
	} else {
		lows[at] = name % 0x1_0000_0000;
		highs[at] = Math.floor(name / 0x1_0000_0000);
	}
}

/** FNV-1a over words of a long name in two lanes; a name that is a digest keeps its spread. */
function fold(name: Uint8Array, lows: Uint32Array, highs: Uint32Array, at: number): void {
	let low = 0x811c9dc5;
	let high = 0x01000193 ^ name.length;
	for (const byte of name) {
		low = Math.imul(low ^ byte, 0x01000193);
		high = Math.imul(high ^ byte, 0x85ebca6b) ^ (high >>> 13);
	}
	lows[at] = low;
	highs[at] = high;
}
