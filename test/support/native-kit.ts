// Owns the test kit over a native library: the same fleet, requests and answers by name as over a module, with the hooks run inline or in a sandbox.
import { type Executor, type NativeCode, openNative, prepareStrategy, type StrategyModule } from '@infermesh/host';
import { type FrameLayout, type FrameViewOptions, type KitMachine, Status, StrategyKit } from '@infermesh/sdk';

/** A busy machine is waited for. */
const patience = { deadlineUs: 100_000, graceUs: 10_000_000, startMs: 10_000 };

/** Calls that end in a status; any other end is the test's to fail on. */
const statuses: Readonly<Record<string, number>> = {
	none: Status.ok,
	declined: Status.decline,
	invalid_status: Status.error,
};

export class NativeLibrary {
	readonly #strategy: StrategyModule;

	private constructor(strategy: StrategyModule) {
		this.#strategy = strategy;
	}

	/** A library in a file; checked and asked for its manifest as before it is loaded. Throws IM_NATIVE_*. */
	static async open(file: string): Promise<NativeLibrary> {
		return new NativeLibrary((await prepareStrategy(file)).module);
	}

	/** Over a frame of its own; `close` ends the sandbox, where there is one. */
	kit(native: NativeCode['native'], options: FrameViewOptions): StrategyKit & { readonly close: () => void } {
		const { manifest, digest, versionId } = this.#strategy;
		const code = this.#strategy.module as NativeCode;
		const limits = { ...code.limits, ...patience };
		let executor: Executor | undefined;
		const open = (layout: FrameLayout) => {
			const { hooks } = manifest;
			executor = openNative({ ...code, native, limits }, { versionId, digest, hooks }, layout);
			executor.awaitReady();
			return { buffer: executor.buffer, baseBytes: executor.base, exports: exportsOf(executor, manifest.hooks) };
		};
		return Object.assign(new StrategyKit(manifest, open, options), { close: () => executor?.close() });
	}
}

/** The hooks as a module would export them. */
function exportsOf(executor: Executor, names: StrategyModule['manifest']['hooks']): KitMachine['exports'] {
	const run =
		(name: (typeof names)[number]) =>
		(_frame: number, argument = 0) => {
			const cause = executor.call(name, argument);
			const status = statuses[cause];
			if (status === undefined) throw new Error(`${name} ended as ${cause}: ${String(executor.lastTrap)}`);
			return status;
		};
	return Object.fromEntries((['init', ...names] as const).map((name) => [name, run(name)]));
}
