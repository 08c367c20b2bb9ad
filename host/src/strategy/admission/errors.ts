// Owns the catalogue of reasons for which a strategy module is refused at admission. Each has its own code, so that a report,
// a test and an author's search all find the same sentence.
import { defineErrors, type ErrorEntry } from '@infermesh/proto';

function refusal(summary: string, hint: string): ErrorEntry {
	return { summary, hint, httpStatus: 422, grpcStatus: 'FAILED_PRECONDITION', retryable: false };
}

export const admissionErrors = defineErrors({
	IM_ADMISSION_MALFORMED: refusal(
		'the bytes are not a well-formed WebAssembly module',
		'build the strategy again; the offset says where reading stopped',
	),
	IM_ADMISSION_INVALID: refusal(
		'the engine does not accept the module',
		'the module breaks a typing rule of WebAssembly: check hand-written code, or the version of the compiler',
	),
	IM_ADMISSION_MODULE_SIZE: refusal(
		'the module is too large',
		'build with optimisation and without debug sections, and keep tables out of the module',
	),
	IM_ADMISSION_FUNCTION_COUNT: refusal(
		'the module has too many functions',
		'drop unused libraries; build with link-time optimisation',
	),
	IM_ADMISSION_FUNCTION_SIZE: refusal('a function body is too large', 'split the function, or inline less'),
	IM_ADMISSION_LOCALS: refusal('a function has too many locals', 'split the function, or inline less'),
	IM_ADMISSION_NESTING: refusal('blocks are nested too deeply', 'flatten the control flow'),
	IM_ADMISSION_BRANCH_TABLE: refusal('a branch table has too many targets', 'look the value up in memory instead'),
	IM_ADMISSION_TABLE_SIZE: refusal('a table is too large', 'use fewer indirect functions'),
	IM_ADMISSION_COUNT: refusal('a section has too many entries', 'drop what is not used'),
	IM_ADMISSION_SECTION: refusal(
		'the module has a section this host does not know',
		'build for WebAssembly 2.0 without later proposals',
	),
	IM_ADMISSION_OPCODE: refusal(
		'the module uses an instruction this host does not know',
		'build for WebAssembly 2.0 without later proposals',
	),
	IM_ADMISSION_RELAXED_SIMD: refusal(
		'relaxed SIMD gives different answers on different machines',
		'use the SIMD instructions of WebAssembly 2.0; a decision must replay bit for bit',
	),
	IM_ADMISSION_THREADS: refusal(
		'atomic instructions can block the thread that decides',
		'a strategy runs on one thread; build without threads',
	),
	IM_ADMISSION_TAIL_CALL: refusal('tail calls are not metered', 'build without the tail-call proposal'),
	IM_ADMISSION_EXCEPTIONS: refusal(
		'exception handling is not accepted',
		'return a status instead; in Rust build with panic=abort',
	),
	IM_ADMISSION_GC: refusal(
		'garbage-collected types are not accepted',
		'strategies do not allocate; the SDK has scratch memory in the frame',
	),
	IM_ADMISSION_REFERENCE_TYPES: refusal(
		'reference values are accepted only as the function table of call_indirect',
		'build without the reference-types proposal',
	),
	IM_ADMISSION_MULTI_MEMORY: refusal('only one memory is accepted', 'use env.memory alone'),
	IM_ADMISSION_MEMORY64: refusal('64-bit memories are not accepted', 'build for wasm32'),
	IM_ADMISSION_MEMORY_GROW: refusal(
		'the module grows its memory',
		'strategies do not allocate; the SDK has scratch memory in the frame',
	),
	IM_ADMISSION_TABLE_CHANGE: refusal(
		'the module changes its table',
		'fill the function table with element segments at build time',
	),
	IM_ADMISSION_START: refusal(
		'the module has a start section',
		'initialise globals with constants, or do the work in the init hook',
	),
	IM_ADMISSION_IMPORT_FUNCTION: refusal(
		'the module imports a function',
		'a strategy sees nothing but its frame; in AssemblyScript build with --use abort=',
	),
	IM_ADMISSION_IMPORT: refusal('the module imports something other than env.memory', 'import env.memory alone'),
	IM_ADMISSION_MEMORY: refusal(
		'the module does not import env.memory',
		'build with an imported memory (AssemblyScript: --importMemory; wasm-ld: --import-memory)',
	),
	IM_ADMISSION_MEMORY_SIZE: refusal(
		'the module asks for more memory than the host gives',
		'keep static data small; the fleet and the scratch memory come with the frame',
	),
	IM_ADMISSION_SHARED_MEMORY: refusal('the module asks for a shared memory', 'build without threads'),
	IM_ADMISSION_EXPORT_MUTABLE: refusal(
		'the module exports a mutable global',
		'export constants only; state belongs in the state block',
	),
	IM_ADMISSION_EXPORT_RESERVED: refusal(
		'the module exports a name reserved for the meter',
		'names that begin with __im_ belong to the host',
	),
	IM_ADMISSION_HEAP_BASE: refusal(
		'the module does not export __heap_base as a constant i32',
		'export it (AssemblyScript: export { __heap_base }; wasm-ld: --export=__heap_base)',
	),
	IM_ADMISSION_HOOK: refusal(
		'a hook is missing or has the wrong signature',
		'export rank as a function that takes the frame address (i32) and returns a status (i32)',
	),
	IM_ADMISSION_DATA: refusal(
		'a data segment lies outside the memory below __heap_base',
		'the frame starts at __heap_base: static data must end before it',
	),
	// From around the scanner, by the admission process itself.
	IM_ADMISSION_CONFORMANCE: refusal(
		'the strategy gave an answer that a strategy must not give',
		'reproduce it with `infermesh strategy test` or `strategy run`; a strategy may answer "decline" when it has no opinion',
	),
	IM_ADMISSION_TIMEOUT: refusal(
		'admission took more processor time than strategy.admission_timeout_ms and was killed',
		'the module costs too much to compile or to run; make it smaller',
	),
	IM_ADMISSION_LATE: {
		...refusal(
			'admission had less processor time than strategy.admission_timeout_ms in five times as long, and was killed',
			'the machine has other work: load the module again when it has less',
		),
		retryable: true,
	},
	IM_ADMISSION_CHILD: {
		...refusal(
			'the admission process ended early',
			'the module exhausts memory while it is compiled or run, or the system refused a process',
		),
		retryable: true,
	},
	IM_ADMISSION_BUSY: { ...refusal('too many admissions are waiting', 'try again in a moment'), retryable: true },
});

export type AdmissionCode = keyof typeof admissionErrors;
