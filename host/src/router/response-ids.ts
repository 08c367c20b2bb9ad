// Owns how the id of a stored response tells which target has it: a tag of the target is put into the id on its way to the client, and taken out again when a
// request comes back with it. So any worker and any router of the mesh finds the target, and nobody keeps a list. A response relayed from another cell has
// the tags of both.
import { type Hash64, hashText } from './hash.js';

const PREFIX = 'resp_';
const MARK = 'im';
const TAGGED = /^resp_im([\w-]{8})_(.+)$/;
const TAG_BYTES = 6;

const QUOTED_PREFIX = Buffer.from(`"${PREFIX}`);
/** Keys whose values are such ids. */
const KEYS = ['"id"', '"response_id"', '"previous_response_id"'].map((key) => Buffer.from(key));
const COLON = 0x3a;
const SPACE = 0x20;

const hash: Hash64 = { low: 0, high: 0 };

/** 8 characters that stand for a target: 48 bits of a hash of its id. */
export function targetTag(targetId: string): string {
	hashText(targetId, hash);
	const bytes = Buffer.alloc(8);
	bytes.writeUInt32LE(hash.low, 0);
	bytes.writeUInt32LE(hash.high, 4);
	return bytes.toString('base64url', 0, TAG_BYTES);
}

/** The tag in an id and the id as the target knows it; undefined when there is no tag. */
export function untagged(id: string): { readonly tag: string; readonly id: string } | undefined {
	const match = TAGGED.exec(id);
	return match === null ? undefined : { tag: match[1] as string, id: `${PREFIX}${match[2]}` };
}

/**
 * JSON, or events of it, with the tag put into the ids of responses. Inside a JSON string the quotes of keys are escaped, so nothing a model says is taken
 * for one.
 */
export function tagResponses(bytes: Buffer, tag: string): Buffer {
	const pieces: Buffer[] = [];
	let from = 0;
	for (let at = bytes.indexOf(QUOTED_PREFIX); at >= 0; at = bytes.indexOf(QUOTED_PREFIX, at + 1)) {
		if (!isValueOfKey(bytes, at)) continue;
		const end = at + QUOTED_PREFIX.length;
		pieces.push(bytes.subarray(from, end), Buffer.from(`${MARK}${tag}_`));
		from = end;
	}
	return from === 0 ? bytes : Buffer.concat([...pieces, bytes.subarray(from)]);
}

/** Whether the string that opens at `at` is the value of one of the keys. */
function isValueOfKey(bytes: Buffer, at: number): boolean {
	let before = at - 1;
	while (bytes[before] === SPACE) before--;
	if (bytes[before] !== COLON) return false;
	return KEYS.some((key) => before >= key.length && bytes.subarray(before - key.length, before).equals(key));
}
