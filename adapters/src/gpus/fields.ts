// Owns tables that say which names of a source make which field of a delta, and filling a draft by them from values that tools print as text.
import type { GpuDraft, GpuFlag, GpuNumber, GpuRange } from './draft.js';

export interface NumberField {
	readonly signal: GpuNumber;
	/** Names in the source; the first that has a value counts. */
	readonly from: readonly string[];
	/** Makes the source's unit the signal's. */
	readonly scale?: number;
	readonly range: GpuRange;
}

export interface FlagField {
	readonly signal: GpuFlag;
	readonly from: readonly string[];
	/** Texts that mean true and false; anything else is unread. */
	readonly yes: readonly string[];
	readonly no: readonly string[];
}

/** What tools print where they have no value. */
const missing =
	/^\[?(n\/?a(?: \(.*\))?|not supported|unknown|none|requested functionality has been deprecated|insufficient permissions|not available.*|)\]?$/i;

export function isMissing(text: string): boolean {
	return missing.test(text.trim());
}

/** The number at the beginning of `71.15 W`, `0x1FF` or `(300Mhz)`; `undefined` where there is none. */
export function leadingNumber(text: string): number | undefined {
	const trimmed = text.trim().replace(/^\(/, '');
	if (/^0x[0-9a-f]{1,16}$/i.test(trimmed)) return Number(trimmed);
	const found = /^[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?=$|[\s%A-Za-z)])/i.exec(trimmed);
	return found === null ? undefined : Number(found[0]);
}

/** Fills `draft` from texts by name. A value that is missing is passed over; one that cannot be read is noted. */
export function fillNumbers(
	draft: GpuDraft,
	fields: readonly NumberField[],
	valueOf: (name: string) => string | undefined,
): void {
	for (const { signal, from, scale, range } of fields) {
		for (const name of from) {
			const text = valueOf(name);
			if (text === undefined || isMissing(text)) continue;
			const value = leadingNumber(text);
			if (value === undefined) {
				draft.unread(`${signal}: ${name} is ${text.trim()}`);
				continue;
			}
			draft.number(signal, value * (scale ?? 1), range);
			break;
		}
	}
}

export function fillFlags(
	draft: GpuDraft,
	fields: readonly FlagField[],
	valueOf: (name: string) => string | undefined,
): void {
	for (const { signal, from, yes, no } of fields) {
		const seen = from.map(valueOf).filter((text) => text !== undefined && !isMissing(text)) as string[];
		const words = seen.map((text) => text.trim().toLowerCase());
		// Several names that say the same are joined by "or": rows to be remapped, or pages to be retired.
		if (words.some((word) => yes.includes(word))) draft.flag(signal, true);
		else if (words.some((word) => no.includes(word))) draft.flag(signal, false);
		else if (words.length > 0) draft.unread(`${signal}: ${from.join(', ')} is ${seen[0]?.trim()}`);
	}
}
