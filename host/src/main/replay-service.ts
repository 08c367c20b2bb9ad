// Owns the parent's side of work on recordings, replays and off-policy estimates: one child process with a heap and a time limit, killed outright when it overruns.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Clock, type ErrorCode, MeshError } from '@infermesh/proto';
import { buildErrors, manifestErrors } from '@infermesh/sdk';
import { loadErrors } from '../load/errors.js';
import { projectErrors } from '../project/errors.js';
import { recorderErrors } from '../recorder/errors.js';
import type { OffPolicyReport } from '../recorder/off-policy/evaluate.js';
import type { OffPolicyTask } from '../recorder/off-policy/run-off-policy.js';
import type { ReplayReport } from '../recorder/replay/report.js';
import type { ReplayRequest } from '../recorder/replay/run-replay.js';

export type ToReplay =
	| { readonly kind: 'replay'; readonly request: ReplayRequest }
	| { readonly kind: 'off_policy'; readonly request: OffPolicyTask };

export type FromReplay =
	| { readonly kind: 'progress'; readonly decisions: number }
	| { readonly kind: 'report'; readonly report: ReplayReport | OffPolicyReport }
	| {
			readonly kind: 'error';
			readonly code: string;
			readonly message: string;
			readonly hint?: string;
			readonly where?: string | undefined;
	  };

export interface ReplayLimits {
	readonly timeoutMs: number;
	readonly memoryMib: number;
}

export const replayLimits: ReplayLimits = { timeoutMs: 600_000, memoryMib: 2048 };

const childPath = fileURLToPath(new URL('./replay-child.js', import.meta.url));
const errors = { ...buildErrors, ...manifestErrors, ...projectErrors, ...recorderErrors, ...loadErrors };

/** Replays in a child process. Rejects with the child's own error, or IM_REPLAY_FAILED when it dies or overruns. */
export function replayInChild(
	request: ReplayRequest,
	limits: ReplayLimits,
	clock: Clock,
	signal: AbortSignal,
	progress: (decisions: number) => void,
): Promise<ReplayReport> {
	return inChild({ kind: 'replay', request }, limits, clock, signal, progress) as Promise<ReplayReport>;
}

/** The same for an off-policy estimate. */
export function offPolicyInChild(
	request: OffPolicyTask,
	limits: ReplayLimits,
	clock: Clock,
	signal: AbortSignal,
	progress: (decisions: number) => void,
): Promise<OffPolicyReport> {
	return inChild({ kind: 'off_policy', request }, limits, clock, signal, progress) as Promise<OffPolicyReport>;
}

function inChild(
	request: ToReplay,
	limits: ReplayLimits,
	clock: Clock,
	signal: AbortSignal,
	progress: (decisions: number) => void,
): Promise<ReplayReport | OffPolicyReport> {
	return new Promise((resolve, reject) => {
		const child = fork(childPath, [], {
			serialization: 'advanced',
			execArgv: [`--max-old-space-size=${limits.memoryMib}`],
			stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
		});
		const failed = (message: string): void =>
			reject(new MeshError(recorderErrors, 'IM_REPLAY_FAILED', message, { details: { ...limits } }));
		const timer = clock.after(limits.timeoutMs, () => {
			failed(`it took longer than ${limits.timeoutMs} ms and was killed`);
			child.kill('SIGKILL');
		});
		const abort = (): void => {
			failed('it was interrupted');
			child.kill('SIGKILL');
		};
		signal.addEventListener('abort', abort, { once: true });
		child.on('message', (message: FromReplay) => {
			if (message.kind === 'progress') return progress(message.decisions);
			if (message.kind === 'report') resolve(message.report);
			else reject(errorOf(message));
			if (child.connected) child.disconnect();
		});
		child.once('error', (error) => failed(error.message));
		child.once('exit', (code, by) => {
			timer.cancel();
			signal.removeEventListener('abort', abort);
			failed(`it ended early (${by ?? `exit ${code}`})`);
		});
		child.send(request, (error) => {
			if (error !== null) failed(error.message);
		});
	});
}

/** The child's error as it would have been thrown here. */
function errorOf({ code, message, hint, where }: Extract<FromReplay, { kind: 'error' }>): Error {
	if (!Object.hasOwn(errors, code)) return new Error(message);
	return new MeshError(errors, code as ErrorCode, message, {
		...(hint === undefined ? {} : { hint }),
		...(where === undefined ? {} : { where }),
	});
}
