// Owns the little language of expected numbers: `5`, `<5000`, `>=0.5`, `!=0`, `10..20`, each with `%` or without.

export interface Comparator {
	/** As the author wrote it. */
	readonly text: string;
	/** `%` was written: the tested value is a share, 0 to 1. */
	readonly percent: boolean;
	test(value: number): boolean;
}

const number = String.raw`([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(%?)`;
const rangePattern = new RegExp(`^${number}\\s*\\.\\.\\s*${number}$`, 'i');
const relationPattern = new RegExp(`^(<=|>=|==|!=|<|>|=)?\\s*${number}$`, 'i');

/** Scores and factors are 32-bit floats: equality allows their rounding. */
const RELATIVE_TOLERANCE = 1e-6;

/** A message says what is wrong with the text. */
export function parseComparator(given: string | number): Comparator | { readonly message: string } {
	const text = String(given).trim();
	const range = rangePattern.exec(text);
	if (range !== null) {
		const [, low, lowUnit, high, highUnit] = range;
		const percent = lowUnit === '%' || highUnit === '%';
		const from = valueOf(low, percent);
		const to = valueOf(high, percent);
		if (from > to) return { message: `the range \`${text}\` is empty` };
		return { text, percent, test: (value) => value >= from && value <= to };
	}
	const relation = relationPattern.exec(text);
	if (relation === null)
		return { message: `\`${text}\` is not a number, a comparison like \`<5000\`, or a range like \`40%..60%\`` };
	const percent = relation[3] === '%';
	const wanted = valueOf(relation[2], percent);
	return { text, percent, test: relationOf(relation[1], wanted) };
}

function valueOf(digits: string | undefined, percent: boolean): number {
	return Number((digits ?? '').replaceAll('_', '')) / (percent ? 100 : 1);
}

function relationOf(operator: string | undefined, wanted: number): (value: number) => boolean {
	const equal = (value: number): boolean =>
		value === wanted || Math.abs(value - wanted) <= RELATIVE_TOLERANCE * Math.max(Math.abs(value), Math.abs(wanted));
	switch (operator) {
		case '<':
			return (value) => value < wanted;
		case '<=':
			return (value) => value <= wanted;
		case '>':
			return (value) => value > wanted;
		case '>=':
			return (value) => value >= wanted;
		case '!=':
			return (value) => !equal(value);
		case undefined:
		default:
			return equal;
	}
}
