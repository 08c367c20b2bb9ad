// Owns turning a recording of decisions into a workload: one request for each first decision that led somewhere or was refused, with the lengths its
// outcome had. Leaves the format of recordings to the recorder.
import { basename } from 'node:path';
import { MeshError } from '@infermesh/proto';
import { REQUEST_ATTEMPT_WORD, REQUEST_WAITED_MS_WORD } from '@infermesh/sdk';
import { getF32 } from '../../recorder/layout.js';
import { type LoadedDecision, loadRecording, readRecordingFiles, recordingPaths } from '../../recorder/recording.js';
import { traceErrors } from './errors.js';
import { TOKENS_MAX, type TraceRequest, type TraceSource } from './types.js';

/** Prompt blocks of recordings made before any had been said. */
const BLOCK_TOKENS_DEFAULT = 512;

/**
 * Opens a recording file, or a folder of them. Arrivals are the times at which requests came to the router; output lengths those of the answers, and where
 * none came what the router expected. Throws IM_TRACE_EMPTY, and what reading a recording throws.
 */
export function recordingTrace(path: string): TraceSource {
	const recording = loadRecording(readRecordingFiles(recordingPaths([path])));
	const blockTokens = recording.meta?.blockTokens ?? BLOCK_TOKENS_DEFAULT;
	const first = recording.decisions.filter(isRequest);
	const name = basename(path);
	if (first.length === 0)
		throw new MeshError(traceErrors, 'IM_TRACE_EMPTY', 'the recording holds no decision of a request', { where: path });
	const blockIds = new Map<string, number>();
	let guessed = 0;
	const timed = first.map((loaded) => ({ loaded, atMs: arrivalMs(loaded) })).sort((a, b) => a.atMs - b.atMs);
	const beganMs = timed[0]?.atMs ?? 0;
	const requests: TraceRequest[] = [];
	for (const { loaded, atMs } of timed) {
		const request = loaded.request();
		const answer = loaded.outcomes.find(({ status, leg }) => status === 'ok' && leg !== 'prefill');
		if (answer === undefined) guessed++;
		const inputTokens = clamp(answer?.tokensIn || request.tokensIn);
		const blocks = blocksOf(loaded, inputTokens, blockTokens, blockIds);
		requests.push({
			atMs: atMs - beganMs,
			inputTokens,
			outputTokens: clamp(answer?.tokensOut || request.tokensOut),
			...(blocks === undefined ? {} : { blocks }),
			...(request.session === 0n ? {} : { session: request.session.toString(16) }),
		});
	}
	const { issues, dropped, meta } = recording;
	return {
		kind: 'recording',
		name,
		blockTokens,
		notes: () => [
			...(meta !== undefined && meta.sample < 1
				? [`a recording of ${meta.sample * 100} % of decisions: arrivals are that share of the traffic`]
				: []),
			...(dropped > 0 ? [`${dropped} decisions were dropped by the recorder`] : []),
			...(guessed > 0 ? [`${guessed} requests had no answer: their output lengths are what the router expected`] : []),
			...(issues.length > 0
				? [`the recording is partial: ${issues[0]?.code ?? ''} at ${issues[0]?.where ?? ''}, ${issues.length} in all`]
				: []),
		],
		async *[Symbol.asyncIterator]() {
			yield* requests;
		},
	};
}

/** A request's first decision: retries are the same request again, and a request that is held is decided until it is not. */
function isRequest({ decision }: LoadedDecision): boolean {
	return decision.request[REQUEST_ATTEMPT_WORD] === 0 && (decision.id !== '' || decision.verdict === 'reject');
}

function arrivalMs(loaded: LoadedDecision): number {
	return loaded.request().nowUs / 1000 - getF32(loaded.decision.request, REQUEST_WAITED_MS_WORD);
}

function clamp(tokens: number): number {
	return Math.min(TOKENS_MAX, Math.max(1, Math.round(tokens)));
}

/** Small numbers for the recorded hashes; what comes behind the last whole block is the request's own. Undefined where hashes were dropped. */
function blocksOf(
	{ decision: { blocks } }: LoadedDecision,
	inputTokens: number,
	blockTokens: number,
	ids: Map<string, number>,
): number[] | undefined {
	if (blocks.length > 0 && blocks.every((word) => word === 0)) return undefined;
	const idOf = (key: string): number => {
		let id = ids.get(key);
		if (id === undefined) ids.set(key, (id = ids.size));
		return id;
	};
	const count = Math.ceil(inputTokens / blockTokens);
	const known = Math.min(count, blocks.length / 2);
	const listed = Array.from({ length: known }, (_, i) => idOf(`${blocks[2 * i]}.${blocks[2 * i + 1]}`));
	while (listed.length < count) listed.push(idOf(`own ${ids.size}`));
	return listed;
}
