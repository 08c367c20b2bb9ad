// Owns the opening of the strategy that decides at start. A module is read here. A project is built in a process of its own: under meshd's engine
// flags the compiler, itself a large module, would be optimised whole before it does anything, which takes many seconds.
import { fork } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Clock, type ErrorCode, MeshError } from '@infermesh/proto';
import { buildErrors, manifestErrors } from '@infermesh/sdk';
import { projectErrors } from '../project/errors.js';
import { openStrategy, type StrategySource } from '../project/prepare.js';

/** What the child answers: the source, or its error in parts. */
export type SourceAnswer =
	| { readonly source: StrategySource }
	| { readonly code: string; readonly message: string; readonly hint?: string; readonly where?: string | undefined };

/** A project that takes longer to build than this is refused. */
export const BUILD_TIMEOUT_MS = 60_000;

const childPath = fileURLToPath(new URL('./strategy-source-child.js', import.meta.url));
const errors = { ...buildErrors, ...manifestErrors, ...projectErrors };

/** Module bytes of a project folder (built now), a `.wasm` or a shipped strategy. Throws as `openStrategy` does. */
export function openStrategySource(where: string, clock: Clock): Promise<StrategySource> {
	const isProject = statSync(where, { throwIfNoEntry: false })?.isDirectory() === true;
	return isProject ? buildInChild(where, clock) : openStrategy(where);
}

function buildInChild(where: string, clock: Clock): Promise<StrategySource> {
	return new Promise((resolve, reject) => {
		const child = fork(childPath, [where], { serialization: 'advanced', execArgv: [] });
		const timer = clock.after(BUILD_TIMEOUT_MS, () => {
			reject(new Error(`building ${where} took longer than ${BUILD_TIMEOUT_MS} ms`));
			child.kill('SIGKILL');
		});
		child.once('message', (answer: SourceAnswer) => {
			if ('source' in answer) resolve(answer.source);
			else reject(errorOf(answer));
		});
		child.once('error', reject);
		child.once('exit', (code, signal) => {
			timer.cancel();
			reject(new Error(`the process that built ${where} ended early (${signal ?? `exit ${code}`})`));
		});
	});
}

/** The child's error as it would have been thrown here. */
function errorOf({ code, message, hint, where }: Exclude<SourceAnswer, { readonly source: StrategySource }>): Error {
	if (!Object.hasOwn(errors, code)) return new Error(message);
	return new MeshError(errors, code as ErrorCode, message, {
		...(hint === undefined ? {} : { hint }),
		...(where === undefined ? {} : { where }),
	});
}
