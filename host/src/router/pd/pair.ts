// Owns the plan of a prefill that precedes an attempt at another target, and the members of the bodies of both requests.
import { prependMember, replaceSpan, topLevelValue } from '../json-bytes.js';
import type { UpstreamTarget } from '../ports.js';
import type { PairProtocol } from './roles.js';

/** The prefill of an attempt whose own target decodes. */
export interface PairPlan {
	readonly protocol: PairProtocol;
	readonly row: number;
	readonly target: UpstreamTarget;
	/** Prompt tokens it is expected to compute. */
	readonly uncachedTokens: number;
	/** SGLang: the number under which both engines meet. */
	readonly room: number;
	/** Origin and path of the target that it is to fetch a prefix from. */
	readonly fetchFrom: string | undefined;
}

/** SGLang's own default. */
const BOOTSTRAP_PORT = 8998;

/** What the two bodies have in common. */
export function meetingMembers({ protocol, target, room }: PairPlan): Readonly<Record<string, unknown>> {
	if (protocol === 'nixl') return {};
	return {
		bootstrap_host: new URL(target.origin).hostname,
		bootstrap_port: target.bootstrapPort ?? BOOTSTRAP_PORT,
		bootstrap_room: room,
	};
}

/** What vLLM's prefill is asked for. */
const KEEP_FOR_DECODE = {
	do_remote_decode: true,
	do_remote_prefill: false,
	remote_engine_id: null,
	remote_block_ids: null,
	remote_host: null,
	remote_port: null,
} as const;

/** The body of a prefill: one token, in one piece. */
export function prefillBody(body: Buffer, pair: PairPlan): Buffer {
	const limits: Record<string, unknown> = { stream: false, max_tokens: 1 };
	for (const [key, value] of [
		['stream_options', null],
		['max_completion_tokens', 1],
		['min_tokens', 0],
	] as const)
		if (topLevelValue(body, key) !== undefined) limits[key] = value;
	const keep = pair.protocol === 'nixl' ? { kv_transfer_params: KEEP_FOR_DECODE } : {};
	return withMembers(body, { ...limits, ...keep, ...meetingMembers(pair) });
}

/** `body` with these members, in place of any of the same name: what a client says of handovers never reaches an engine. */
export function withMembers(body: Buffer, members: Readonly<Record<string, unknown>>): Buffer {
	let out = body;
	for (const [key, value] of Object.entries(members)) {
		const text = JSON.stringify(value);
		const span = topLevelValue(out, key);
		out = span === undefined ? prependMember(out, `"${key}":${text}`) : replaceSpan(out, span, text);
	}
	return out;
}

/** What a vLLM prefill's answer says of the KV it holds; undefined when it says nothing. */
export function heldKv(answer: Buffer): Readonly<Record<string, unknown>> | undefined {
	try {
		const params: unknown = (JSON.parse(answer.toString('utf8')) as Readonly<Record<string, unknown>>)[
			'kv_transfer_params'
		];
		return typeof params === 'object' && params !== null && !Array.isArray(params)
			? (params as Readonly<Record<string, unknown>>)
			: undefined;
	} catch {
		return undefined;
	}
}
