// Owns what an instance asks of whatever runs a strategy: memory that holds the frame, and calls of its hooks. What the frame holds and when it is
// brought up to date is instance.ts's; WebAssembly under fuel is wasm-executor.ts's, native code is native/'s.
import { type HookName, Status } from '@infermesh/sdk';
import type { FallbackCause } from './decision.js';

/** Runs the hooks of one strategy over one frame, in one thread. */
export interface Executor {
	/** Memory with the frame at `base`; zeroed where nothing was written. */
	readonly buffer: ArrayBuffer;
	readonly base: number;
	/** A call ended so that nothing may be run here any more. */
	readonly poisoned: boolean;
	/** Of the last call; 0 where no fuel is counted. */
	readonly lastFuel: number;
	/** Why the last call ended in a fault; undefined when it returned. */
	readonly lastTrap: unknown;
	/** False while it is still being made ready; a call is then `no_instance`. */
	readonly ready: boolean;
	/** 'none' when it returned ok; the answer is then in the frame, not yet validated. 'no_instance' when there is no such hook. */
	rank(): FallbackCause;
	call(hook: HookName, argument: number): FallbackCause;
	/**
	 * What came of a call that was given up because the machine held it up: 'none' when it has ended, as it mostly has, and the frame may be written;
	 * 'host_error' while it is still running; else why it will not end.
	 */
	settle(): FallbackCause;
	/** Waits, up to `waitMs` or until that is known, whether it is ready. Throws when it never will be. */
	awaitReady(waitMs?: number): void;
	/** Lets go of what it holds beyond memory. Harmless when repeated. */
	close(): void;
}

/** What a status a hook returned means. */
export function causeOfStatus(status: number): FallbackCause {
	return status === Status.ok ? 'none' : status === Status.decline ? 'declined' : 'invalid_status';
}
