// Owns the typed view of the engine's WebAssembly object, which the Node type package does not declare. Holds no logic.
// A typed view instead of a global declaration, so that two packages never declare the same global twice.

export interface WasmMemory {
	readonly buffer: ArrayBuffer;
}

export interface WasmGlobal<T extends number | bigint = number | bigint> {
	value: T;
}

/** A compiled module; opaque. */
export type WasmModule = { readonly __wasmModule: never };

export interface WasmInstance {
	readonly exports: Readonly<Record<string, unknown>>;
}

export interface WasmEngine {
	/** Compiles synchronously; throws the engine's CompileError when the bytes are not valid. */
	readonly Module: new (
		bytes: Uint8Array,
	) => WasmModule;
	readonly Instance: new (
		module: WasmModule,
		imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
	) => WasmInstance;
	readonly Memory: new (limits: { readonly initial: number; readonly maximum?: number }) => WasmMemory;
	readonly validate: (bytes: Uint8Array) => boolean;
}

export const wasmEngine: WasmEngine = (globalThis as unknown as { WebAssembly: WasmEngine }).WebAssembly;

/** Bytes of one WebAssembly page. */
export const PAGE_BYTES = 65_536;
