// Owns native strategies for tests: C sources compiled as an author's are, the module of one, and a frame that says what the hostile one is to do.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildStrategy, encodeConfig, REQUEST_TOKENS_IN_WORD } from '@infermesh/sdk';
import { Decision, type FallbackCause } from '../runtime/decision.js';
import { fuelDefaults, StrategyInstance, type StrategyModule } from '../runtime/instance.js';
import { readOutput } from '../runtime/read-output.js';
import type { Rig } from '../runtime/rig.js';
import { writeHits, writeRequest } from '../runtime/write-request.js';
import { type NativeCode, patientLimits } from './code.js';
import { buildNativeEngine } from './engine.js';
import { libraryDigest } from './inspect-native.js';
import { askManifest } from './manifest.js';

/** Bytes of a strategy whose C source is `source`; `#include`s are added. `manifest`: further lines of its manifest, or others in the place of the first ones. */
export async function compileNative(
	source: string,
	manifest: Readonly<Record<string, string>> = {},
): Promise<Uint8Array> {
	const dir = mkdtempSync(path.join(tmpdir(), 'infermesh-native-'));
	try {
		const lines = { name: 'under_test', version: '1.0.0', columns: '[load, weight, slow_start]', ...manifest };
		const text = Object.entries(lines).map(([key, value]) => `${key}: ${value}\n`);
		writeFileSync(path.join(dir, 'strategy.yaml'), `abi: "1.0"\nsource: strategy.c\n${text.join('')}`);
		const head = '#define _GNU_SOURCE\n#include "infermesh.h"\n#include "infermesh_manifest.h"\n';
		writeFileSync(path.join(dir, 'strategy.c'), `${head}${source}`);
		return (await buildStrategy(dir)).wasm;
	} finally {
		rmSync(dir, { recursive: true, force: true });
	}
}

let modulesMade = 0;

/** A library as a module that can be instantiated. Its digest is its own, so that failures of another do not make it start late. */
export async function nativeModule(
	library: Uint8Array,
	more: Partial<Pick<NativeCode, 'native' | 'limits'>> = {},
): Promise<StrategyModule> {
	const engine = await buildNativeEngine();
	const digest = `${libraryDigest(library)}-${modulesMade++}`;
	const manifest = askManifest(library, digest, engine, patientLimits);
	return {
		versionId: 1,
		label: `${manifest.name}@${manifest.version}`,
		digest,
		module: { native: 'process', library, engine, limits: patientLimits, ...more },
		manifest,
		heapBase: 0,
		config: encodeConfig(manifest),
	};
}

/** least_queue in C, as the template has it. */
export const leastQueueC = `
static int32_t rank(uint8_t *frame) {
	const uint32_t rows = im_header(frame)->row_capacity;
	const float *load = im_column_f32(frame, IM_COLUMN_LOAD);
	const float *weight = im_column_f32(frame, IM_COLUMN_WEIGHT);
	const float *slow_start = im_column_f32(frame, IM_COLUMN_SLOW_START);
	float *cost = im_scratch_f32(frame, 0);
	for (uint32_t row = 0; row < rows; row++) {
		const float share = weight[row] * slow_start[row];
		cost[row] = (load[row] + 1.0f) / (share > 0.01f ? share : 0.01f);
	}
	return im_rank_lowest(frame, cost, IM_TOP_K);
}
IM_STRATEGY(IM_NATIVE_HAS_RANK, .rank = rank)
`;

/** Least load of all; its state counts outcomes and ticks, and shows the outcomes as a factor. An outcome with 666 tokens out makes it crash. */
export const countingC = `
static int32_t rank(uint8_t *frame) {
	const uint32_t rows = im_header(frame)->row_capacity;
	const float *load = im_column_f32(frame, IM_COLUMN_LOAD);
	float *cost = im_scratch_f32(frame, 0);
	for (uint32_t row = 0; row < rows; row++) cost[row] = load[row];
	const int32_t status = im_rank_lowest(frame, cost, IM_TOP_K);
	im_output *output = im_output_in(frame);
	output->factor_count = 1;
	for (uint32_t at = 0; at < output->count; at++) output->factors[at * IM_FACTORS_MAX] = (float)*(uint32_t *)(void *)im_state(frame);
	return status;
}
static int32_t observe(uint8_t *frame, int32_t count) {
	uint32_t *state = (void *)im_state(frame);
	state[0] += (uint32_t)count;
	for (int32_t i = 0; i < count; i++)
		if (im_outcomes(frame)[i].tokens_out == 666) __builtin_trap();
	return IM_STATUS_OK;
}
static int32_t tick(uint8_t *frame) {
	((uint32_t *)(void *)im_state(frame))[1]++;
	return IM_STATUS_OK;
}
IM_STRATEGY(IM_NATIVE_HAS_RANK | IM_NATIVE_HAS_OBSERVE | IM_NATIVE_HAS_TICK, .rank = rank, .observe = observe, .tick = tick)
`;

/** Of the manifest of countingC. */
export const countingManifest = {
	name: 'counting',
	columns: '[load]',
	hooks: '[rank, observe, tick]',
	factors: '[seen]',
	state_bytes: '64',
};

/** A library that takes so much processor time to load. */
export function slowToLoad(ms: number, rest: string = leastQueueC): string {
	return `#include <time.h>
static long now(void) { struct timespec at; clock_gettime(CLOCK_MONOTONIC, &at); return at.tv_sec * 1000 + at.tv_nsec / 1000000; }
__attribute__((constructor)) static void begin(void) { for (const long until = now() + ${ms}; now() < until;) {} }
${rest}`;
}

/** Sandboxes of a process that have not ended. */
export function sandboxesOf(pid: number): number[] {
	return readdirSync('/proc')
		.map(Number)
		.filter((one) => {
			if (!Number.isInteger(one)) return false;
			try {
				const stat = readFileSync(`/proc/${one}/stat`, 'utf8');
				const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
				return Number(parent) === pid && state !== 'Z' && stat.includes('(sandbox');
			} catch {
				return false;
			}
		});
}

/** What the hostile strategy does, by the request's tokens_in; 0 is to decide well. */
export const misdeeds = {
	none: 0,
	crash: 1,
	hang: 2,
	exit: 3,
	fork: 4,
	headerWrite: 5,
	tableWrite: 6,
	outOfRange: 7,
	memory: 8,
	socket: 9,
	openFile: 10,
	sleep: 11,
	badStatus: 12,
	wipe: 13,
	deadlock: 14,
	killHost: 15,
	thread: 16,
	executable: 17,
	/** Says of itself that it is still being started. */
	unready: 18,
	/** Works for 100 ms, and crashes when the frame changes meanwhile. */
	slow: 19,
	/** The same, and writes over its frame's header at the end. */
	slowWrite: 20,
} as const;

export const hostileC = `
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static void *idle(void *nothing) { return nothing; }
static int32_t rank(uint8_t *frame) {
	volatile uint32_t word = 1;
	im_output *output = im_output_in(frame);
	output->rows[0] = 0;
	output->scores[0] = 1.0f;
	output->count = 1;
	switch (im_request_in(frame)->tokens_in) {
		case 1: *(volatile int *)8 = 1; break;
		case 2: while (word) {} break;
		case 3: _exit(0);
		case 4: fork(); break;
		case 5: memset(frame, 0xff, 256); break;
		case 6: memset(frame + im_header(frame)->columns_offset, 0xff, 64); break;
		case 7: output->rows[0] = 1u << 30; break;
		case 8: for (size_t i = 0; i < 4096; i++) { char *more = malloc(1 << 20); memset(more, 1, 1 << 20); } break;
		case 9: socket(AF_INET, SOCK_STREAM, 0); break;
		case 10: open("/etc/hostname", O_RDONLY); break;
		case 11: { const struct timespec long_time = {60, 0}; nanosleep(&long_time, NULL); break; }
		case 12: return 77;
		case 13: memset(frame - 4096, 0, 4096 + im_header(frame)->frame_bytes); break;
		case 14: syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0); break;
		case 15: kill(getppid(), SIGKILL); break;
		case 16: { pthread_t thread; pthread_create(&thread, NULL, idle, NULL); break; }
		case 17: mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); break;
		case 18: memset(frame - 4096 + 192, 0, 4); break;
		case 19:
		case 20: {
			const uint32_t misdeed = im_request_in(frame)->tokens_in;
			struct timespec at;
			clock_gettime(CLOCK_MONOTONIC, &at);
			const long until = at.tv_sec * 1000 + at.tv_nsec / 1000000 + 100;
			while (at.tv_sec * 1000 + at.tv_nsec / 1000000 < until) {
				if (((volatile im_request *)im_request_in(frame))->tokens_in != misdeed) *(volatile int *)8 = 1;
				clock_gettime(CLOCK_MONOTONIC, &at);
			}
			if (misdeed == 20) memset(frame, 0xff, 256);
			break;
		}
		default: break;
	}
	return IM_STATUS_OK;
}
IM_STRATEGY(IM_NATIVE_HAS_RANK, .rank = rank)
`;

const NONE: readonly number[] = [];
const PLACE = { zone: 1, region: 1, topK: 4 };

/** One strategy on a rig, and its answers. */
export class NativeBench {
	readonly rig: Rig;
	readonly out = new Decision();
	instance: StrategyInstance;
	readonly #strategy: StrategyModule;
	#ticket = 0;

	constructor(strategy: StrategyModule, rig: Rig) {
		this.#strategy = strategy;
		this.rig = rig;
		this.instance = this.#make();
	}

	/** A decision on the rig's present request; with `misdeed` the hostile strategy does that. */
	decide(misdeed?: number): FallbackCause {
		if (this.instance.poisoned) {
			this.instance.close();
			this.instance = this.#make();
		}
		const { instance, rig } = this;
		instance.sync();
		const hits = writeHits(instance, rig.hits);
		writeRequest(instance, rig.features, PLACE, this.#ticket++, rig.view.eligibleCount, hits);
		if (misdeed !== undefined) instance.u32[instance.requestWord + REQUEST_TOKENS_IN_WORD] = misdeed;
		const cause = instance.rank();
		return cause === 'none' ? readOutput(instance, NONE, this.out) : cause;
	}

	#make(): StrategyInstance {
		return new StrategyInstance(this.#strategy, this.rig.view, fuelDefaults, [1, 2]);
	}
}
