// Owns what a signature is worth in this mesh: the grade of the key that made it, and whether that is what the node asks.
import { MeshError } from '@infermesh/proto';
import { isLibrary } from '../native/code.js';
import { nativeErrors } from '../native/errors.js';
import { signingErrors } from './errors.js';
import { type Grade, type InlineRule, reaches } from './grade.js';
import { isSignedBy, readPublicKey, type StrategySignature } from './signature.js';

/** A key as the mesh keeps it. */
export interface TrustedKey {
	/** SPKI, PEM. */
	readonly publicKey: string;
	readonly grade: Exclude<Grade, 'unsigned'>;
}

export interface TrustPorts {
	/** By id; undefined = not trusted. */
	readonly key: (id: string) => TrustedKey | undefined;
	/** Least grade of what is loaded. */
	readonly require: Grade;
	/** Which libraries may run inside the process. */
	readonly inline: InlineRule;
}

export class StrategyTrust {
	readonly #ports: TrustPorts;

	constructor(ports: TrustPorts) {
		this.#ports = ports;
	}

	/**
	 * The grade of a module. A signature by a key that the mesh does not know vouches for nothing; one that does not fit the module is refused whatever is
	 * asked, since somebody has tampered with either. Throws IM_SIGNING_SIGNATURE, IM_SIGNING_REQUIRED.
	 */
	admit(module: Uint8Array, signature: StrategySignature | undefined, label: string): Grade {
		const grade = this.gradeOf(module, signature, label);
		const { require } = this.#ports;
		if (reaches(grade, require)) return grade;
		const is =
			signature === undefined
				? 'not signed'
				: grade === 'unsigned'
					? `signed by ${signature.key}, which is not trusted`
					: grade;
		throw new MeshError(signingErrors, 'IM_SIGNING_REQUIRED', `${label} is ${is}; it has to be ${require}`);
	}

	/** Whether a library of this grade may run inside the process, where nothing contains it. Throws IM_NATIVE_INLINE. */
	admitInline(library: Uint8Array, grade: Grade, label: string): void {
		const { inline } = this.#ports;
		const why = !isLibrary(library)
			? 'is WebAssembly, which runs in the process in any case'
			: inline === 'never'
				? 'may not run in the process: this node allows it to none'
				: reaches(grade, inline)
					? undefined
					: `is ${grade}; to run in the process it has to be ${inline}`;
		if (why !== undefined) throw new MeshError(nativeErrors, 'IM_NATIVE_INLINE', `${label} ${why}`);
	}

	/** What a module is worth, whatever is asked. Throws IM_SIGNING_SIGNATURE. */
	gradeOf(module: Uint8Array, signature: StrategySignature | undefined, label: string): Grade {
		if (signature === undefined) return 'unsigned';
		const key = this.#ports.key(signature.key);
		if (key === undefined) return 'unsigned';
		if (!isSignedBy(module, signature, readPublicKey(key.publicKey, `key ${signature.key}`)))
			throw new MeshError(signingErrors, 'IM_SIGNING_SIGNATURE', `key ${signature.key} has not signed this module`, {
				where: label,
			});
		return key.grade;
	}
}
