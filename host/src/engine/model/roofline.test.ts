// The roofline formula against sums done by hand and against published measurements; the profiles' capacities.
import { MeshError } from '@infermesh/proto';
import test from 'ava';
import { chainFromIds, hashByteBlocks } from './block-hash.js';
import { engineModelConfig } from './engine-config.js';
import { emptyStepShape, type StepShape } from './latency.js';
import { engineProfile, engineProfiles } from './profiles.js';
import { RooflineLatency } from './roofline.js';

function shape(fields: Partial<StepShape>): StepShape {
	return { ...emptyStepShape(1000), ...fields };
}

/** Microseconds of one step over whole prompts of `tokens` tokens. */
function prefill(tokens: number): StepShape {
	return shape({ prefillSequences: 1, prefillTokens: tokens, prefillAttentionPairs: (tokens * tokens) / 2 });
}

test('each term of the formula has the size its constants give it', (t) => {
	const latency = new RooflineLatency({
		tensorParallel: 2,
		layers: 10,
		hiddenSize: 100,
		linearParametersPerLayer: 1e6,
		weightBytes: 2e7,
		kvBytesPerToken: 1000,
		activationBytes: 2,
		flopsPerSecond: 1e12,
		memoryBytesPerSecond: 1e11,
		linearEfficiency: 0.5,
		attentionEfficiency: 0.25,
		weightReadEfficiency: 0.8,
		kvReadEfficiency: 0.5,
		stepOverheadUs: 7,
		layerOverheadUs: 3,
		sequenceOverheadUs: 2,
		allReduceUs: 5,
		allReduceBytesPerSecond: 1e10,
		pcieBytesPerSecond: 1e9,
	});
	const fixed = 7 + 10 * 3 + 2 * 10 * 5;
	const weights = (2e7 / (2 * 1e11 * 0.8)) * 1e6;
	const allReduce = ((2 * 10 * 100 * 2) / 1e10) * 1e6;
	const near = (actual: number, expected: number) =>
		t.true(Math.abs(actual - expected) < 1e-6, `${actual} ${expected}`);
	near(
		latency.stepUs(shape({ decodeSequences: 3, decodeContextTokens: 600 })),
		fixed + 3 * 2 + weights + 3 * allReduce + ((600 * 1000) / (2 * 1e11 * 0.5)) * 1e6,
	);
	near(
		latency.stepUs(shape({ prefillSequences: 1, prefillTokens: 1000, prefillAttentionPairs: 5e5 })),
		fixed +
			2 +
			((2 * 1e7 * 1000) / (2 * 1e12 * 0.5)) * 1e6 +
			1000 * allReduce +
			((4 * 10 * 100 * 5e5) / (2 * 1e12 * 0.25)) * 1e6,
	);
	near(latency.stepUs(shape({ hostReloadTokens: 50 })) - latency.stepUs(shape({})), ((50 * 1000) / (2 * 1e9)) * 1e6);
});

test('profiles have the published KV capacities', (t) => {
	const thousands = (name: string) => Math.round(engineProfile(name).kvTokens / 1000);
	t.is(thousands('h100-8b'), 421);
	t.is(thousands('h100-70b-tp4'), 487);
	t.true(Math.abs(thousands('h100-70b-tp8') - 1420) < 10);
	t.is(engineModelConfig(engineProfile('h100-8b')).kvBlocks, Math.floor(engineProfile('h100-8b').kvTokens / 16));
});

test('the measured calibration reproduces measured prefill and decode times within 25 %', (t) => {
	// SplitwiseSim, Llama-2-70B on two H100 with tensor parallelism: 2,048 and 8,192 prompt tokens, and one decode.
	const four = engineProfile('h100-70b-tp4').roofline;
	const latency = new RooflineLatency({ ...four, tensorParallel: 2, allReduceBytesPerSecond: 293e9 });
	const within = (actualUs: number, measuredMs: number) => {
		const ratio = actualUs / 1000 / measuredMs;
		t.true(ratio > 0.75 && ratio < 1.25, `${actualUs} us against ${measuredMs} ms`);
	};
	within(latency.stepUs(prefill(2048)), 308);
	within(latency.stepUs(prefill(8192)), 1339);
	within(latency.stepUs(shape({ decodeSequences: 1, decodeContextTokens: 1024 })), 37);
});

test('every profile is sane, and an unknown name lists the known ones', (t) => {
	for (const { name, roofline, contextTokensMax, kvTokens } of engineProfiles()) {
		const us = new RooflineLatency(roofline).stepUs(shape({ decodeSequences: 1, decodeContextTokens: 1000 }));
		t.true(us > 1000 && us < 100_000, `${name}: ${us} us a decode step`);
		t.true(contextTokensMax <= kvTokens, name);
	}
	const error = t.throws(() => engineProfile('h100'), { instanceOf: MeshError });
	t.is(error.code, 'IM_ENGINE_PROFILE_UNKNOWN');
	t.regex(error.message, /h100-8b, /);
});

test('sizes that make no sense are refused', (t) => {
	const error = t.throws(() => engineModelConfig(engineProfile('h100-8b'), { kvBlocks: 0 }), { instanceOf: MeshError });
	t.is(error.code, 'IM_ENGINE_OPTIONS_INVALID');
	t.is(error.where, 'kvBlocks');
});

test('block hashes chain: a difference changes its own block and all after it', (t) => {
	const bytes = new Uint8Array(64 * 5 + 10).map((_, i) => i * 7);
	const chain = hashByteBlocks(bytes, 64);
	t.is(chain.length, 10);
	const changed = Uint8Array.from(bytes);
	changed[130] = (changed[130] as number) ^ 1;
	const other = hashByteBlocks(changed, 64);
	t.deepEqual(other.slice(0, 4), chain.slice(0, 4));
	for (let block = 2; block < 5; block++) t.not(other[block * 2], chain[block * 2]);
	t.notDeepEqual(hashByteBlocks(bytes, 64, 1).slice(0, 2), chain.slice(0, 2));
	t.deepEqual(hashByteBlocks(bytes.slice(0, 128), 64), chain.slice(0, 4));
	t.deepEqual(chainFromIds([5, 6], 3).slice(0, 6), chainFromIds([5, 9], 3).slice(0, 6));
});
