// Owns the errors of native strategies: building what runs them, and what is wrong with a library.
import { defineErrors } from '@infermesh/proto';

const refused = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;
const here = { httpStatus: 500, grpcStatus: 'FAILED_PRECONDITION', retryable: false } as const;

export const nativeErrors = defineErrors({
	IM_NATIVE_COMPILER: {
		...here,
		summary: 'native strategies need a C++ compiler once, and there is none',
		hint: 'install g++ (Debian: apt-get install g++); WebAssembly strategies need none',
	},
	IM_NATIVE_BUILD: {
		...here,
		summary: 'the addon or the sandbox of native strategies cannot be built',
		hint: "the compiler's words are in the message; WebAssembly strategies go on without",
	},
	IM_NATIVE_ADDON: {
		...here,
		summary: 'the addon of native strategies cannot be loaded',
		hint: 'remove host/native/build and try again: it is built anew for this machine',
	},
	IM_NATIVE_SANDBOX: {
		...here,
		summary: 'this machine cannot shut a native strategy in',
		hint: 'Linux 5.9 or newer with seccomp filters is needed; run the strategy as WebAssembly',
	},
	IM_NATIVE_PLATFORM: {
		...refused,
		summary: 'the library is built for another machine',
		hint: 'build it on, or for, the kind of machine the mesh runs on; WebAssembly runs on all of them',
	},
	IM_NATIVE_ELF: {
		...refused,
		summary: 'the file is not a whole shared library',
		hint: 'build it with `infermesh strategy build`; a copy may have been cut short',
	},
	IM_NATIVE_HARDENING: {
		...refused,
		summary: 'the library lacks a protection that every library here must have',
		hint: 'link with -Wl,-z,relro,-z,now,-z,noexecstack and compile with -fPIC, as `infermesh strategy build` does',
	},
	IM_NATIVE_LINKAGE: {
		...refused,
		summary: 'the library needs another library that is not allowed',
		hint: 'link it statically; allowed are libc, libm, libgcc_s and libstdc++',
	},
	IM_NATIVE_SYMBOL: {
		...refused,
		summary: 'the library does not export `infermesh_strategy`',
		hint: 'write IM_STRATEGY(…) once, in a file with infermesh.h',
	},
	IM_NATIVE_ABI: {
		...refused,
		summary: 'what `infermesh_strategy()` returns is not what this mesh can run',
		hint: 'build it against the infermesh_abi.h of this mesh',
	},
	IM_NATIVE_LOAD: {
		...refused,
		summary: 'the library cannot be loaded into its sandbox',
		hint: 'what runs while a library is loaded may not wait, start processes or threads, or reach files and network',
	},
	IM_NATIVE_INLINE: {
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
		summary: 'the strategy may not run inside the mesh process',
		hint: 'sign it with a key of grade trusted (`infermesh signing-key trust KEY.pub --grade trusted`) where `strategy.native.inline` allows it, or load it without --inline: it then runs in a sandbox',
	},
	IM_NATIVE_TOO_LARGE: {
		...refused,
		httpStatus: 413,
		summary: 'the library is larger than the bound',
		hint: 'strip it (-Wl,--strip-all); the bound is named in the message',
	},
});
