// Owns the key of stored responses where a node runs without a mesh: made once, kept in the node's own folder with mode 0600, so that what was stored before a restart is still
// its tenant's. A mesh keeps its key in its replicated state.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { makePrivateFile, readPrivateFile } from '@infermesh/fabric';
import { MeshError } from '@infermesh/proto';
import { routerErrors } from '../router/errors.js';

const FILE = 'response-key';
/** Of a key, in base64url: 32 bytes have 43 characters. */
const KEY = /^[\w-]{43}$/;

export interface KeptKey {
	readonly key: string;
	/** Why it is not kept: it ends with this process, as IM_ROUTE_RESPONSE_KEY_FILE. */
	readonly unkept?: MeshError;
}

/**
 * The key in `folder`, which is made with it where there is none; `made` is a new one, `as` this process among those that may start in this folder. Where nothing can be
 * written the new key serves unkept. Throws IM_ROUTE_RESPONSE_KEY_FILE for a file that is there and cannot be read, that others may read, or that holds no key: with
 * another key what was stored would be nobody's, and that is not decided here.
 */
export function keptResponseKey(folder: string, made: string, as: string): KeptKey {
	const file = path.join(folder, FILE);
	if (!existsSync(file)) {
		try {
			if (makePrivateFile(file, `${made}\n`, as)) return { key: made };
		} catch (cause) {
			return { key: made, unkept: fault(file, (cause as Error).message, cause) };
		}
	}
	return { key: readKey(file) };
}

function readKey(file: string): string {
	let text: string;
	try {
		text = Buffer.from(readPrivateFile(file)).toString('latin1').trimEnd();
	} catch (cause) {
		throw fault(file, (cause as Error).message, cause);
	}
	if (!KEY.test(text)) throw fault(file, 'it holds no key');
	return text;
}

function fault(where: string, message: string, cause?: unknown): MeshError {
	return new MeshError(routerErrors, 'IM_ROUTE_RESPONSE_KEY_FILE', message, { where, cause });
}
