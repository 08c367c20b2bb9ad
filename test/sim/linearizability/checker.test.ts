// The checker itself: histories known to be good and bad, and good ones made bad by random changes, each judged as a plain search over all orders
// judges it.
import { SeededRandom } from '@infermesh/proto';
import test from 'ava';
import { checkHistory, type Model, type Operation } from './checker.js';
import { type LockInput, type LockOutput, lockModel } from './lease-owner.js';
import {
	type RegisterInput,
	type RegisterOperation,
	type RegisterOutput,
	registerModel,
	withFewerUnknowns,
} from './register.js';

const never = Number.POSITIVE_INFINITY;

function op(
	client: number,
	callAt: number,
	returnAt: number,
	input: RegisterInput,
	output?: RegisterOutput,
): RegisterOperation {
	return { client, callAt, returnAt, input, output };
}
const write = (client: number, callAt: number, returnAt: number, value: string): RegisterOperation =>
	op(client, callAt, returnAt, { kind: 'write', value }, returnAt === never ? undefined : {});
const read = (client: number, callAt: number, returnAt: number, value: string | undefined): RegisterOperation =>
	op(client, callAt, returnAt, { kind: 'read' }, { found: { value } });
const swap = (
	client: number,
	callAt: number,
	returnAt: number,
	expected: string,
	value: string,
	held?: boolean,
): RegisterOperation =>
	op(client, callAt, returnAt, { kind: 'swap', expected, value }, held === undefined ? undefined : { held });

const good: readonly [string, readonly RegisterOperation[]][] = [
	['nothing', []],
	['a read of what was written', [write(1, 0, 1, 'a'), read(2, 2, 3, 'a')]],
	['a read beside a write sees either', [write(1, 0, 9, 'a'), read(2, 1, 2, undefined), read(3, 3, 4, 'a')]],
	['a lost answer takes effect late', [write(1, 0, never, 'a'), read(2, 1, 2, undefined), read(2, 3, 4, 'a')]],
	['a lost answer never takes effect', [write(1, 0, never, 'a'), write(2, 1, 2, 'b'), read(2, 3, 4, 'b')]],
	[
		'swaps in a chain',
		[write(1, 0, 1, 'a'), swap(2, 2, 5, 'a', 'b', true), swap(3, 3, 6, 'b', 'c', true), read(1, 7, 8, 'c')],
	],
	['of two swaps one holds', [write(1, 0, 1, 'a'), swap(2, 2, 5, 'a', 'b', true), swap(3, 2, 5, 'a', 'c', false)]],
	['a lost swap is seen', [write(1, 0, 1, 'a'), swap(2, 2, never, 'a', 'b'), read(1, 3, 4, 'a'), read(1, 5, 6, 'b')]],
];

const bad: readonly [string, readonly RegisterOperation[]][] = [
	['a stale read', [write(1, 0, 1, 'a'), write(1, 2, 3, 'b'), read(2, 4, 5, 'a')]],
	['a lost write', [write(1, 0, 1, 'a'), read(2, 2, 3, undefined)]],
	['a read of what nobody wrote', [write(1, 0, 1, 'a'), read(2, 2, 3, 'b')]],
	['new, then old', [write(1, 0, 9, 'a'), read(2, 1, 2, 'a'), read(3, 3, 4, undefined)]],
	['both of two swaps hold', [write(1, 0, 1, 'a'), swap(2, 2, 5, 'a', 'b', true), swap(3, 2, 5, 'a', 'c', true)]],
	['a swap holds on what is gone', [write(1, 0, 1, 'a'), write(1, 2, 3, 'b'), swap(2, 4, 5, 'a', 'c', true)]],
	['a refused swap that had to hold', [write(1, 0, 1, 'a'), swap(2, 2, 3, 'a', 'b', false)]],
	[
		'two readers disagree about the order',
		[write(1, 0, 9, 'a'), write(2, 0, 9, 'b'), read(3, 10, 11, 'a'), read(4, 10, 11, 'b')],
	],
	['a lost write takes effect before its call', [read(2, 0, 1, 'a'), write(1, 2, never, 'a')]],
	[
		'a lost write takes effect twice',
		[write(1, 0, never, 'a'), read(2, 1, 2, 'a'), write(2, 3, 4, 'b'), read(2, 5, 6, 'b'), read(2, 7, 8, 'a')],
	],
];

for (const [name, history] of good) {
	test(`good: ${name}`, (t) => {
		t.is(checkHistory(registerModel, history).kind, 'linearizable');
		t.is(checkHistory(registerModel, withFewerUnknowns(history)).kind, 'linearizable');
	});
}

for (const [name, history] of bad) {
	test(`bad: ${name}`, (t) => {
		t.is(checkHistory(registerModel, history).kind, 'not linearizable');
		t.is(checkHistory(registerModel, withFewerUnknowns(history)).kind, 'not linearizable');
	});
}

/** Every order that respects time, one after the other. */
function byHand<I, O, S>(model: Model<I, O, S>, all: readonly Operation<I, O>[]): boolean {
	const search = (state: S, left: readonly Operation<I, O>[]): boolean => {
		if (left.every(({ returnAt }) => returnAt === never)) return true;
		const firstReturn = Math.min(...left.map(({ returnAt }) => returnAt));
		return left.some((one) => {
			if (one.callAt > firstReturn) return false;
			const after = model.step(state, one.input, one.output);
			return (
				after !== undefined &&
				search(
					after,
					left.filter((other) => other !== one),
				)
			);
		});
	};
	return search(model.initial, all);
}

/** A history of a real register, with answers lost and late. */
function realHistory(random: SeededRandom, count: number): RegisterOperation[] {
	let state: string | undefined;
	let now = 0;
	const idleAt = [0, 0, 0];
	return Array.from({ length: count }, (_, at): RegisterOperation => {
		const client = random.nextU32() % idleAt.length;
		const callAt = Math.max(now, idleAt[client] ?? 0) + random.nextFloat();
		now = callAt;
		const effectAt = callAt + random.nextFloat() * 2;
		const returnAt = effectAt + random.nextFloat() * 2;
		idleAt[client] = returnAt;
		const lost = random.nextFloat() < 0.2;
		const dice = random.nextFloat();
		// Effects take place in the order of calls: one of the orders that overlapping operations may take.
		if (dice < 0.4) return op(client, callAt, returnAt, { kind: 'read' }, { found: { value: state } });
		const value = `v${at}`;
		if (dice < 0.7) {
			if (!lost || random.nextFloat() < 0.5) state = value;
			return lost ? op(client, callAt, never, { kind: 'write', value }) : write(client, callAt, returnAt, value);
		}
		const expected = random.nextFloat() < 0.7 ? state : 'other';
		const found = { value: state };
		const held = expected === state;
		if (held && (!lost || random.nextFloat() < 0.5)) state = value;
		const input = { kind: 'swap', expected, value } as const;
		return lost ? op(client, callAt, never, input) : op(client, callAt, returnAt, input, { held, found });
	});
}

/** Changes one thing about a history. */
function damaged(random: SeededRandom, history: readonly RegisterOperation[]): RegisterOperation[] {
	const at = random.nextU32() % history.length;
	const values = [undefined, ...history.flatMap(({ input }) => ('value' in input ? [input.value] : []))];
	return history.map((one, index) => {
		if (index !== at) return one;
		if (one.output?.held !== undefined && random.nextFloat() < 0.5)
			return { ...one, output: { ...one.output, held: !one.output.held } };
		if (one.output?.found !== undefined)
			return { ...one, output: { ...one.output, found: { value: values[random.nextU32() % values.length] } } };
		return { ...one, callAt: one.callAt + 20, returnAt: one.returnAt + 20 };
	});
}

test('histories of a real register are good; changed ones are judged as a plain search judges them', (t) => {
	let refused = 0;
	for (let seed = 1; seed <= 400; seed++) {
		const random = new SeededRandom(seed);
		const history = realHistory(random, 8);
		t.is(checkHistory(registerModel, history).kind, 'linearizable', `seed ${seed}`);
		const changed = damaged(random, history);
		const expected = byHand(registerModel, changed);
		if (!expected) refused++;
		for (const judged of [changed, withFewerUnknowns(changed)])
			t.is(checkHistory(registerModel, judged).kind === 'linearizable', expected, `seed ${seed}`);
	}
	t.true(refused > 100, `only ${refused} of 400 changes made a history bad`);
});

test('a long history is judged quickly, and one too long is no pass', (t) => {
	const history = realHistory(new SeededRandom(1), 600);
	const verdict = checkHistory(registerModel, withFewerUnknowns(history));
	t.is(verdict.kind, 'linearizable');
	t.true(verdict.explored < 20_000, `${verdict.explored} states`);
	t.is(checkHistory(registerModel, realHistory(new SeededRandom(1), 9000)).kind, 'unknown');
});

const acquire = (
	owner: string,
	callAt: number,
	returnAt: number,
	token?: number,
): Operation<LockInput, LockOutput> => ({
	client: 0,
	input: { kind: 'acquire', owner },
	output: token === undefined ? {} : { token },
	callAt,
	returnAt,
});
const end = (owner: string, at: number): Operation<LockInput, LockOutput> => ({
	client: 0,
	input: { kind: 'end', owner },
	output: {},
	callAt: at,
	returnAt: at,
});

test('a lock has one owner at a time and tokens that rise', (t) => {
	const verdict = (history: readonly Operation<LockInput, LockOutput>[]): string =>
		checkHistory(lockModel, history).kind;
	t.is(verdict([acquire('a', 0, 1, 5), end('a', 2), acquire('b', 1.5, 3, 6), end('b', 4)]), 'linearizable');
	t.is(verdict([acquire('a', 0, 1, 5), acquire('b', 1, 2), end('a', 3)]), 'linearizable');
	t.is(verdict([acquire('a', 0, 1, 5), acquire('b', 1.5, 3, 6), end('a', 4)]), 'not linearizable');
	t.is(verdict([acquire('a', 0, 1, 5), end('a', 2), acquire('b', 3, 4, 5)]), 'not linearizable');
});
