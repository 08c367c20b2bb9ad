// Owns what clients may not say to engines: where KV is fetched from or kept, whom an engine meets for it, and which data-parallel rank serves. Engines believe such
// members of a body, and connect to the address in them; they are the router's to set, and a trusted caller's. Nor may anybody choose the id of a stored response. Bodies that were read lose them. Bodies that were not
// are searched, and refused when one is named.
import type { Refusal } from './errors.js';
import { type MemberEdit, withoutMembers } from './json-bytes.js';

/** vLLM's, TensorRT-LLM's and SGLang's. */
const NAMES = [
	'kv_transfer_params',
	'ec_transfer_params',
	'disaggregated_params',
	'bootstrap_host',
	'bootstrap_port',
	'bootstrap_room',
	'bootstrap_pair_key',
	'routed_dp_rank',
	'data_parallel_rank',
	'data_parallel_rank_decode',
	'disagg_prefill_dp_rank',
] as const;
const kept: ReadonlySet<string> = new Set(NAMES);
const ANY_NAME = new RegExp(NAMES.join('|'));
/** Objects from which vLLM takes the same members. */
const CARRIERS = ['vllm_xargs', 'sampling_params', 'extra_args'] as const;
const carriers: ReadonlySet<string> = new Set(CARRIERS);

type Json = Readonly<Record<string, unknown>>;

/** `body` without such members; the same bytes when it has none. `parsed` is what it says: names may be escaped in the bytes. */
export function withoutHandover(body: Buffer, parsed: Json): Buffer {
	return says(parsed) ? withoutMembers(body, edit) : body;
}

/** The body, `sampling_params`, `extra_args`: deeper no engine looks. */
const DEPTH_MAX = 2;

const edit: MemberEdit = (name, depth) => {
	if (kept.has(name)) return 'drop';
	return depth < DEPTH_MAX && carriers.has(name) ? 'enter' : 'keep';
};

/**
 * Whether an object, or one it carries them in, may have such a member. V8's `JSON.parse` can take an escaped key for another that begins with a backslash (seen in 13.6: `"\\""` read as
 * `\\` once an object with that key was parsed), so a key with one is looked at again in the bytes.
 */
function says(object: Json, depth = 0): boolean {
	for (const name in object) if (kept.has(name) || name.includes('\\')) return true;
	if (depth === DEPTH_MAX) return false;
	for (const name of CARRIERS) {
		const inner = object[name];
		if (typeof inner === 'object' && inner !== null && !Array.isArray(inner) && says(inner as Json, depth + 1))
			return true;
	}
	return false;
}

/**
 * The body of a request for a response that is stored, without the id its client would have it stored under: whoever may choose it could have the router
 * vouch for somebody else's. vLLM and SGLang take one from `request_id`.
 */
export function withoutChosenId(body: Buffer, parsed: Json): Buffer {
	const chosen = Object.keys(parsed).some((name) => name === CHOSEN_ID || name.includes('\\'));
	return chosen ? withoutMembers(body, (name) => (name === CHOSEN_ID ? 'drop' : 'keep')) : body;
}

const CHOSEN_ID = 'request_id';

/** What they have in common, so that a body is searched thrice and not a time for each. */
const STEMS = ['_params', 'bootstrap_', '_rank'] as const;
/** A small letter or an underscore, escaped: nothing that writes JSON does so by itself. */
const ESCAPES = /\\u00(5f|6[1-9a-f]|7[\da])/gi;
const ESCAPED = ['\\u005', '\\u006', '\\u007'] as const;
/** To undo more of them would cost more than the body is worth: it is refused for having them. */
const ESCAPES_MAX = 1024;

/** Refuses a body the router has not read when one of the names stands in it: as it is, with letters escaped, or in 16 or 32 bits a letter, as Python reads JSON. */
export function handoverUnread(body: Buffer): Refusal | undefined {
	const wide = body.subarray(0, 4).includes(0);
	const escaped = wide || ESCAPED.some((escape) => body.includes(escape));
	if (!escaped && !STEMS.some((stem) => body.includes(stem))) return undefined;
	let text = (wide ? withoutNuls(body) : body).toString('latin1');
	if (escaped) {
		if (hasTooManyEscapes(text)) return { code: 'IM_REQUEST_HANDOVER', message: 'Letters of the body are escaped.' };
		text = text.replace(ESCAPES, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
	}
	const param = ANY_NAME.exec(text)?.[0];
	return param === undefined ? undefined : { code: 'IM_REQUEST_HANDOVER', param };
}

function hasTooManyEscapes(text: string): boolean {
	ESCAPES.lastIndex = 0;
	let left = ESCAPES_MAX;
	while (left > 0 && ESCAPES.test(text)) left--;
	ESCAPES.lastIndex = 0;
	return left === 0;
}

function withoutNuls(body: Buffer): Buffer {
	const narrow = Buffer.allocUnsafe(body.length);
	let length = 0;
	for (let at = 0; at < body.length; at++) if (body[at] !== 0) narrow[length++] = body[at] as number;
	return narrow.subarray(0, length);
}
