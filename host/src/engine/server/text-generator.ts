// Owns the words an emulated engine says: seeded English-looking text in pieces of exactly 4 ASCII bytes, one a token,
// so that counting bytes and counting tokens agree to the byte.
import type { Random } from '@infermesh/proto';

const SHORT_WORDS =
	'the and for can was all one new may its two see way set low own run key are not but has had any our out who get use now';
const LONG_WORDS =
	'present request network balance cluster gateway measure process history capture pattern quality several service ' +
	'through without traffic support between another certain example average reading latency forward surface control ' +
	'journey weather morning station country picture company problem program website culture feature respect version';
const LAST_WORDS =
	'memory system result answer change number moment reason signal buffer bridge garden window little before people ' +
	'simple circle letter nature output second return source market method matter centre future detail energy doctor';
const SENTENCE_SHARE = 0.08;
const LONG_SHARE = 0.4;

const SHORT: readonly (readonly string[])[] = SHORT_WORDS.split(' ').map((word) => [`${word} `]);
const LONG: readonly (readonly string[])[] = LONG_WORDS.split(' ').map((word) => [
	word.slice(0, 4),
	`${word.slice(4)} `,
]);
const LAST: readonly (readonly string[])[] = LAST_WORDS.split(' ').map((word) => [
	word.slice(0, 4),
	`${word.slice(4)}. `,
]);

/**
 * `tokens` pieces of text; the same random stream gives the same text, and a longer text starts with the shorter one.
 */
export function generateText(tokens: number, random: Random): string[] {
	const pieces: string[] = [];
	while (pieces.length < tokens) {
		const kind = random.nextFloat();
		const words = kind < SENTENCE_SHARE ? LAST : kind < SENTENCE_SHARE + LONG_SHARE ? LONG : SHORT;
		const word = words[random.nextU32() % words.length] as readonly string[];
		pieces.push(...word);
	}
	pieces.length = tokens;
	return pieces;
}

const encoder = new TextEncoder();

/** Cuts given text into pieces of at most 4 UTF-8 bytes without splitting a character. */
export function piecesOf(text: string): string[] {
	const pieces: string[] = [];
	let piece = '';
	let bytes = 0;
	for (const character of text) {
		const size = encoder.encode(character).length;
		if (bytes + size > 4) {
			pieces.push(piece);
			piece = '';
			bytes = 0;
		}
		piece += character;
		bytes += size;
	}
	if (piece !== '') pieces.push(piece);
	return pieces;
}
