// Owns reading what a sandbox said when it could not run a library: a code of ours before a colon, or words alone.
import { MeshError } from '@infermesh/proto';
import { nativeErrors } from './errors.js';

const codes = ['IM_NATIVE_LOAD', 'IM_NATIVE_SYMBOL', 'IM_NATIVE_ABI', 'IM_NATIVE_SANDBOX'] as const;

export function refusalOf(message: string): MeshError {
	const code = codes.find((one) => message.startsWith(`${one}: `));
	return code === undefined
		? new MeshError(nativeErrors, 'IM_NATIVE_LOAD', message)
		: new MeshError(nativeErrors, code, message.slice(code.length + 2));
}
