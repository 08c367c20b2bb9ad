// Owns the generator of synthetic workloads: arrivals, lengths, shared prefixes and sessions, all from one seed.
// Each of the four draws from its own random stream, so that changing one leaves the others as they were.
import { MeshError, type Random, SeededRandom } from '@infermesh/proto';
import { type UnitDraw, unitExponential, unitGamma, unitLognormal, unitWeibull } from './distribution.js';
import { traceErrors } from './errors.js';
import { createPrefixTree, FIRST_UNSHARED_BLOCK, type PrefixOptions, type PrefixTree } from './prefix-tree.js';
import { TOKENS_MAX, type TraceRequest, type TraceSource } from './types.js';

export type ArrivalOptions =
	| { readonly kind: 'constant' | 'poisson' }
	/** `cv` is the coefficient of variation of the gaps, 0.1..20: above 1 requests come in bursts. */
	| { readonly kind: 'gamma' | 'weibull'; readonly cv: number };

export type LengthOptions =
	| { readonly kind: 'fixed'; readonly tokens: number }
	/** `mean` before the cut at `tokensMax` (default 32,768); `cv` default 1. */
	| { readonly kind: 'lognormal'; readonly mean: number; readonly cv?: number; readonly tokensMax?: number };

/** A wave on the rate: rate·(1 + amplitude·sin(2π·t/period)), which starts at the mean and rises. */
export interface DiurnalOptions {
	/** 0..1; with 1 arrivals stop at the bottom of the wave. */
	readonly amplitude: number;
	/** Seconds, 1..604,800. */
	readonly periodSeconds: number;
}

export interface SessionOptions {
	/** Conversations open at a time, 1..10,000: each arrival continues one of them, drawn evenly. */
	readonly active: number;
	/** Mean turns of a conversation, from 1. Every turn's prompt holds all turns before it. */
	readonly turns: number;
	/** Longest prompt in tokens; a conversation that would pass it ends. Default 32,768. */
	readonly contextTokensMax?: number;
}

export interface SyntheticOptions {
	/** Mean arrivals a second, 0.001..100,000. Default 2. */
	readonly ratePerSecond?: number;
	readonly arrivals?: ArrivalOptions;
	/** Default: the rate does not change. */
	readonly diurnal?: DiurnalOptions;
	/** Prompt length (with sessions: what each turn adds). Default lognormal, mean 512. */
	readonly input?: LengthOptions;
	/** Tokens to generate. Default lognormal, mean 128. */
	readonly output?: LengthOptions;
	readonly prefixes?: PrefixOptions;
	readonly sessions?: SessionOptions;
	/** Unsigned 32-bit. Default 1. */
	readonly seed?: number;
	/** Length of the stream. Default: without end; the consumer stops. */
	readonly requests?: number;
}

/** Tokens in a block of a synthetic prompt. Finer than published traces, so that short prompts can share something. */
export const SYNTHETIC_BLOCK_TOKENS = 64;

interface Session {
	readonly name: string;
	readonly blocks: number[];
	contextTokens: number;
}

/** Builds a synthetic workload. Equal options give equal streams. Throws IM_TRACE_OPTION. */
export function syntheticTrace(options: SyntheticOptions = {}): TraceSource {
	checkOptions(options);
	return {
		kind: 'synthetic',
		name: describe(options),
		blockTokens: SYNTHETIC_BLOCK_TOKENS,
		notes: () => [],
		async *[Symbol.asyncIterator]() {
			yield* generate(options);
		},
	};
}

function* generate(options: SyntheticOptions): Generator<TraceRequest> {
	const seed = options.seed ?? 1;
	const arrivals = new SeededRandom(seed, 1);
	const gap = gapDraw(options.arrivals ?? { kind: 'poisson' });
	const meanGapMs = 1000 / (options.ratePerSecond ?? 2);
	const shape = requestShaper(options, seed);
	const clock = options.diurnal === undefined ? (evenMs: number): number => evenMs : diurnalClock(options.diurnal);
	let evenMs = 0;
	for (let index = 0; index < (options.requests ?? Number.POSITIVE_INFINITY); index++) {
		yield { atMs: clock(evenMs), ...shape() };
		evenMs += meanGapMs * gap(arrivals);
	}
}

/** Halvings of the search: an interval of two days comes down below a microsecond. */
const HALVINGS = 48;

/**
 * Turns times of an even process into times under the wave: the even time is the integral of the relative rate,
 * t + a·P/2π·(1 − cos(2πt/P)), inverted by bisection. Gaps of any kind keep their shape in even time.
 */
function diurnalClock({ amplitude, periodSeconds }: DiurnalOptions): (evenMs: number) => number {
	const periodMs = periodSeconds * 1000;
	const swing = (amplitude * periodMs) / (2 * Math.PI);
	return (evenMs) => {
		let low = Math.max(0, evenMs - 2 * swing);
		let high = evenMs;
		for (let step = 0; step < HALVINGS; step++) {
			const middle = (low + high) / 2;
			if (middle + swing * (1 - Math.cos((2 * Math.PI * middle) / periodMs)) < evenMs) low = middle;
			else high = middle;
		}
		return high;
	};
}

function requestShaper(options: SyntheticOptions, seed: number): () => Omit<TraceRequest, 'atMs'> {
	const lengths = new SeededRandom(seed, 2);
	const prefixes = new SeededRandom(seed, 3);
	const input = lengthDraw(options.input ?? { kind: 'lognormal', mean: 512 });
	const output = lengthDraw(options.output ?? { kind: 'lognormal', mean: 128 });
	const tree = options.prefixes === undefined ? undefined : createPrefixTree(options.prefixes);
	const share = options.prefixes?.share ?? 0;
	let nextBlock = FIRST_UNSHARED_BLOCK;

	const startBlocks = (tokens: number): number[] => {
		if (tree === undefined) return [];
		return treeBlocks(tree, prefixes, Math.floor((tokens * share) / SYNTHETIC_BLOCK_TOKENS));
	};
	const fill = (blocks: number[], tokens: number): void => {
		const count = Math.ceil(tokens / SYNTHETIC_BLOCK_TOKENS);
		while (blocks.length < count) blocks.push(nextBlock++);
	};

	if (options.sessions === undefined) {
		return () => {
			const inputTokens = input(lengths);
			const outputTokens = output(lengths);
			if (tree === undefined) return { inputTokens, outputTokens };
			const blocks = startBlocks(inputTokens);
			fill(blocks, inputTokens);
			return { inputTokens, outputTokens, blocks };
		};
	}

	const pick = sessionPicker(options.sessions, new SeededRandom(seed, 4));
	return () => {
		const added = input(lengths);
		const outputTokens = output(lengths);
		const session = pick(added);
		if (session.contextTokens === 0) session.blocks.push(...startBlocks(added));
		const inputTokens = session.contextTokens + added;
		fill(session.blocks, inputTokens);
		session.contextTokens = inputTokens + outputTokens;
		return { inputTokens, outputTokens, blocks: [...session.blocks], session: session.name };
	};
}

function treeBlocks(tree: PrefixTree, random: Random, count: number): number[] {
	return tree.blocks(tree.leaf(random), count);
}

/** Draws a conversation for each arrival; a conversation ends with probability 1/turns after a turn, or when its context is full. */
function sessionPicker(options: SessionOptions, random: Random): (addedTokens: number) => Session {
	const contextTokensMax = options.contextTokensMax ?? 32_768;
	let started = 0;
	const start = (): Session => ({ name: `session-${++started}`, blocks: [], contextTokens: 0 });
	const open = Array.from({ length: options.active }, start);
	return (addedTokens) => {
		const slot = Math.floor(random.nextFloat() * open.length);
		const ended = random.nextFloat() < 1 / options.turns;
		const session = open[slot] ?? start();
		const full = session.contextTokens + addedTokens > contextTokensMax;
		if (session.contextTokens === 0 || (!ended && !full)) return session;
		const fresh = start();
		open[slot] = fresh;
		return fresh;
	};
}

function gapDraw(options: ArrivalOptions): UnitDraw {
	if (options.kind === 'gamma') return unitGamma(options.cv);
	if (options.kind === 'weibull') return unitWeibull(options.cv);
	return options.kind === 'poisson' ? unitExponential() : () => 1;
}

function lengthDraw(options: LengthOptions): (random: Random) => number {
	if (options.kind === 'fixed') return () => options.tokens;
	const unit = unitLognormal(options.cv ?? 1);
	const tokensMax = options.tokensMax ?? 32_768;
	return (random) => Math.min(tokensMax, Math.max(1, Math.round(options.mean * unit(random))));
}

function describe(options: SyntheticOptions): string {
	const arrivals = options.arrivals ?? { kind: 'poisson' };
	const burst = 'cv' in arrivals ? ` cv ${arrivals.cv}` : '';
	const wave =
		options.diurnal === undefined
			? ''
			: ` ±${options.diurnal.amplitude * 100} % every ${options.diurnal.periodSeconds} s`;
	const length = (spec: LengthOptions | undefined, mean: number): string =>
		spec?.kind === 'fixed' ? `${spec.tokens}` : `~${spec?.mean ?? mean}`;
	return (
		`synthetic ${arrivals.kind}${burst} ${options.ratePerSecond ?? 2}/s${wave}, ` +
		`${length(options.input, 512)} tokens in, ${length(options.output, 128)} out, seed ${options.seed ?? 1}`
	);
}

function checkOptions(options: SyntheticOptions): void {
	check('ratePerSecond', options.ratePerSecond, 0.001, 100_000);
	check('seed', options.seed, 0, 0xffff_ffff);
	check('requests', options.requests, 1, Number.MAX_SAFE_INTEGER);
	if (options.arrivals !== undefined && 'cv' in options.arrivals) check('arrivals.cv', options.arrivals.cv, 0.1, 20);
	check('diurnal.amplitude', options.diurnal?.amplitude, 0, 1);
	check('diurnal.periodSeconds', options.diurnal?.periodSeconds, 1, 604_800);
	checkLength('input', options.input);
	checkLength('output', options.output);
	check('prefixes.count', options.prefixes?.count, 1, 65_536);
	check('prefixes.share', options.prefixes?.share, 0, 1);
	check('prefixes.levels', options.prefixes?.levels, 1, 8);
	check('prefixes.levelBlocks', options.prefixes?.levelBlocks, 1, 1024);
	check('prefixes.skew', options.prefixes?.skew, 0, 4);
	check('sessions.active', options.sessions?.active, 1, 10_000);
	check('sessions.turns', options.sessions?.turns, 1, 1_000_000);
	check('sessions.contextTokensMax', options.sessions?.contextTokensMax, 1, TOKENS_MAX);
}

function checkLength(name: string, options: LengthOptions | undefined): void {
	if (options?.kind === 'fixed') check(`${name}.tokens`, options.tokens, 1, TOKENS_MAX);
	if (options?.kind !== 'lognormal') return;
	check(`${name}.mean`, options.mean, 1, TOKENS_MAX);
	check(`${name}.cv`, options.cv, 0.01, 20);
	check(`${name}.tokensMax`, options.tokensMax, 1, TOKENS_MAX);
}

const WHOLE = new Set([
	'seed',
	'requests',
	'tokens',
	'tokensMax',
	'count',
	'levels',
	'levelBlocks',
	'active',
	'contextTokensMax',
]);

function check(name: string, value: number | undefined, min: number, max: number): void {
	if (value === undefined) return;
	const whole = WHOLE.has(name.slice(name.lastIndexOf('.') + 1));
	if (value >= min && value <= max && (!whole || Number.isInteger(value))) return;
	const message = `${name} must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}, not ${value}`;
	throw new MeshError(traceErrors, 'IM_TRACE_OPTION', message, { where: name });
}
