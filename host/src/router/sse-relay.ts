// Owns what the router does with a server-sent event stream on its way through: it lets whole events pass as they are, counts them, notes
// usage, takes out the usage-only event when the client did not ask for it, and tells whether the first event is an error. Holds back at
// most one incomplete event, so that a stream cut inside one still ends on an event boundary. Writing is the attempt's.
import { EMPTY } from './body-request.js';
import { findUsage, mergeUsage, readUsage, type Usage, usageKey } from './usage.js';

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const BRACKET = 0x5d;
const ERROR_KEY = Buffer.from('"error"');
/** How events begin that may be errors, of OpenAI's and Anthropic's servers: every event is looked at, so this must cost nothing. */
const ERROR_STARTS = [Buffer.from('data: {"error"'), Buffer.from('data:{"error"'), Buffer.from('event: error')];
const EMPTY_CHOICES = [Buffer.from('"choices":[]'), Buffer.from('"choices": []')];
const DONE = Buffer.from('[DONE]');

export interface SseRelayOptions {
	readonly eventBytesMax: number;
	readonly stripUsage: boolean;
	/** Key of the object with token counts, quoted. */
	readonly usageKey?: Buffer;
	/** Whole events, changed before they are passed on. */
	readonly edit?: ((events: Buffer) => Buffer) | undefined;
}

export class SseRelay {
	/** Data events that have passed, usage-only ones and `[DONE]` not counted. */
	events = 0;
	/** `[DONE]` has passed. */
	done = false;
	usage: Usage | undefined;
	/** The first event is an error object: the engine answered 200 and failed. */
	startsWithError = false;
	/** A later one is: the engine failed inside the answer, and has told the client. */
	hasError = false;
	/** Something other than comments has passed. */
	started = false;

	readonly #eventBytesMax: number;
	readonly #stripUsage: boolean;
	readonly #usageKey: Buffer;
	readonly #edit: ((events: Buffer) => Buffer) | undefined;
	/** Bytes of the incomplete event, in arrival order. */
	#parts: Buffer[] = [];
	#partBytes = 0;
	/** An event passed the bound: the rest of the stream is not looked into. */
	#blind = false;

	constructor(options: SseRelayOptions) {
		this.#eventBytesMax = options.eventBytesMax;
		this.#stripUsage = options.stripUsage;
		this.#usageKey = options.usageKey ?? usageKey('usage');
		this.#edit = options.edit;
	}

	/** What has been passed on may have stopped inside an event. Otherwise it stopped at the end of one. */
	get midEvent(): boolean {
		return this.#blind;
	}

	/** Takes bytes from the engine; returns those to pass on now, possibly none. */
	push(chunk: Buffer): Buffer {
		if (this.#blind) return chunk;
		const end = this.#boundary(chunk);
		if (end === 0) return this.#keep(chunk);
		const head = end === chunk.length ? chunk : chunk.subarray(0, end);
		const whole = this.#partBytes === 0 ? head : Buffer.concat([...this.#takeParts(), head]);
		if (end < chunk.length) this.#keep(chunk.subarray(end));
		return this.#look(whole);
	}

	/** What is left when the engine has ended the stream: an event without its blank line. */
	flush(): Buffer {
		const rest = this.#partBytes === 0 ? EMPTY : Buffer.concat(this.#takeParts());
		return rest.length === 0 ? rest : this.#look(rest);
	}

	#keep(part: Buffer): Buffer {
		this.#parts.push(part);
		this.#partBytes += part.length;
		if (this.#partBytes <= this.#eventBytesMax) return EMPTY;
		this.#blind = true;
		this.started = true;
		return Buffer.concat(this.#takeParts());
	}

	#takeParts(): Buffer[] {
		const parts = this.#parts;
		this.#parts = [];
		this.#partBytes = 0;
		return parts;
	}

	/** Offset in `chunk` just past the last blank line, or 0. A blank line may have begun in the bytes kept. */
	#boundary(chunk: Buffer): number {
		for (let at = chunk.lastIndexOf(LF); at >= 0; at = at === 0 ? -1 : chunk.lastIndexOf(LF, at - 1)) {
			const before = this.#byteBefore(chunk, at, 1);
			if (before === LF || (before === CR && this.#byteBefore(chunk, at, 2) === LF)) return at + 1;
		}
		return 0;
	}

	#byteBefore(chunk: Buffer, at: number, steps: number): number {
		if (at >= steps) return chunk[at - steps] as number;
		let back = steps - at;
		for (let part = this.#parts.length - 1; part >= 0; part--) {
			const bytes = this.#parts[part] as Buffer;
			if (back <= bytes.length) return bytes[bytes.length - back] as number;
			back -= bytes.length;
		}
		return -1;
	}

	/** Looks at whole events; returns what of them is passed on. */
	#look(whole: Buffer): Buffer {
		// Looked for once, and again from where it was found: a busy engine sends hundreds of events in one read.
		let usageAt = findUsage(whole, 0, this.#usageKey);
		let kept: Buffer[] | undefined;
		let from = 0;
		for (let at = 0; at < whole.length; ) {
			const end = eventEnd(whole, at);
			const hasUsage = usageAt >= 0 && usageAt < end;
			if (this.#event(whole, at, end, hasUsage ? usageAt : -1)) {
				kept ??= [];
				kept.push(whole.subarray(from, at));
				from = end;
			}
			if (hasUsage) usageAt = findUsage(whole, end, this.#usageKey);
			at = end;
		}
		kept?.push(whole.subarray(from));
		const events = kept === undefined ? whole : Buffer.concat(kept);
		return this.#edit === undefined ? events : this.#edit(events);
	}

	/** Notes one event, with the usage that opens at `usageAt` unless that is -1; true when it is to be taken out. */
	#event(bytes: Buffer, start: number, end: number, usageAt: number): boolean {
		let from = start;
		while (from < end && (bytes[from] === LF || bytes[from] === CR)) from++;
		if (from === end || bytes[from] === COLON) return false;
		if (!this.started) {
			this.started = true;
			this.startsWithError = isError(bytes.subarray(from, end));
		} else if (ERROR_STARTS.some((start) => start.compare(bytes, from, Math.min(from + start.length, end)) === 0))
			this.hasError ||= isError(bytes.subarray(from, end));
		if (isDone(bytes, end)) {
			this.done = true;
			return false;
		}
		if (usageAt >= 0) {
			const read = readUsage(bytes, usageAt);
			if (read !== undefined) this.usage = mergeUsage(this.usage, read);
			const event = bytes.subarray(from, end);
			if (EMPTY_CHOICES.some((key) => event.includes(key))) return this.#stripUsage;
		}
		this.events++;
		return false;
	}
}

/** Offset just past the blank line that ends the event at `from`, or the end of the bytes. */
function eventEnd(bytes: Buffer, from: number): number {
	for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
		if (bytes[at + 1] === LF) return at + 2;
		if (bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
	}
	return bytes.length;
}

/** Whether the event that ends at `end` is `data: [DONE]`. */
function isDone(bytes: Buffer, end: number): boolean {
	let last = end - 1;
	while (bytes[last] === LF || bytes[last] === CR) last--;
	return bytes[last] === BRACKET && bytes.subarray(last - DONE.length + 1, last + 1).equals(DONE);
}

/** An event whose data is an object with an `error` and no `choices`: vLLM and SGLang send one when they fail after answering 200. */
function isError(event: Buffer): boolean {
	if (!event.includes(ERROR_KEY)) return false;
	const data = event.indexOf('data:');
	if (data < 0) return false;
	try {
		const parsed = JSON.parse(event.toString('utf8', data + 5)) as Readonly<Record<string, unknown>>;
		const error = parsed['error'];
		if (error === null || error === undefined || parsed['choices'] !== undefined) return false;
		const code = (error as Readonly<Record<string, unknown>>)['code'];
		return !(typeof code === 'number' && code >= 400 && code < 500);
	} catch {
		return false;
	}
}
