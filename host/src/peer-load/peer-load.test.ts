import type { LoadFrame } from '@infermesh/proto/grpc/routing/v1/load';
import test from 'ava';
import * as fc from 'fast-check';
import { createInflight, InflightReader, InflightWriter, inflightCounters, REQUESTS } from '../fleet/inflight.js';
import { WorkerLedger } from '../fleet/ledger.js';
import type { UpstreamTarget } from '../router/ports.js';
import { LoadBook } from './book.js';
import { RemoteShare } from './remote-share.js';
import { LoadTeller } from './teller.js';

const ROWS = 6;
const options = { heartbeatMs: 100, fullMs: 1000 };
const bookOptions = { leaseMs: 2000, targetsMax: ROWS, countMax: 0x7fff_ffff, flowsMax: 16 };

/** A router: its targets stand at rows of its own order, so that rows of two routers do not agree. */
class Router {
	readonly shared = createInflight(ROWS, 1);
	readonly counters = new InflightReader(this.shared);
	readonly ledger = new WorkerLedger(new InflightWriter(this.shared, 0), 1000, () => 0);
	readonly book = new LoadBook(bookOptions);
	readonly rows: ReadonlyMap<string, number>;
	readonly remote: RemoteShare;
	readonly entries: number[] = [];
	readonly tellers = new Map<Router, LoadTeller>();

	constructor(shift: number) {
		this.rows = new Map(Array.from({ length: ROWS }, (_, row) => [`t${(row + shift) % ROWS}`, row]));
		this.remote = new RemoteShare(this.shared, this.book, (id) => this.rows.get(id));
	}

	tellTo(other: Router): LoadTeller {
		const ids = [...this.rows.keys()];
		const own = {
			rowsMax: ROWS,
			idOf: (row: number) => ids[row],
			own: (counter: number, row: number) => this.counters.own(counter, row),
		};
		const teller = new LoadTeller(own, options);
		this.tellers.set(other, teller);
		return teller;
	}

	dispatch(id: string): void {
		const row = this.rows.get(id) as number;
		this.entries.push(this.ledger.dispatch({ tableRow: row } as UpstreamTarget, 8192, 6144));
		for (const teller of this.tellers.values()) teller.changed(row);
	}

	/** The oldest request ends, or gets its first token. */
	step(end: boolean): void {
		const entry = end ? this.entries.shift() : this.entries[0];
		if (entry === undefined) return;
		if (end) this.ledger.end(entry);
		else this.ledger.firstToken(entry);
		for (const teller of this.tellers.values()) for (const row of this.rows.values()) teller.changed(row);
	}

	totals(id: string): number[] {
		return inflightCounters.map((_, counter) => this.counters.total(counter, this.rows.get(id) as number));
	}

	ownCounts(id: string): number[] {
		return inflightCounters.map((_, counter) => this.counters.own(counter, this.rows.get(id) as number));
	}
}

function pair(): { readonly one: Router; readonly two: Router; readonly teller: LoadTeller } {
	const one = new Router(0);
	const two = new Router(2);
	two.book.begin('one', 0);
	return { one, two, teller: one.tellTo(two) };
}

function deliver(to: Router, from: string, frame: LoadFrame | undefined, nowMs = 0): void {
	if (frame === undefined) return;
	to.book.apply(from, frame, nowMs);
	to.remote.flush();
}

const event = fc.oneof(
	{
		weight: 6,
		arbitrary: fc.record({ kind: fc.constant('dispatch' as const), at: fc.nat(2), target: fc.nat(ROWS - 1) }),
	},
	{ weight: 3, arbitrary: fc.record({ kind: fc.constant('end' as const), at: fc.nat(2) }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant('token' as const), at: fc.nat(2) }) },
	{ weight: 6, arbitrary: fc.record({ kind: fc.constant('tell' as const), at: fc.nat(2), to: fc.nat(2) }) },
	{
		weight: 6,
		arbitrary: fc.record({
			kind: fc.constant('arrive' as const),
			at: fc.nat(2),
			to: fc.nat(2),
			which: fc.nat(9),
			lost: fc.boolean(),
		}),
	},
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 700 }) }) },
);

test('however frames are lost, delayed or overtaken: once it is quiet, every router counts the load of all', (t) => {
	fc.assert(
		fc.property(fc.array(event, { maxLength: 120 }), (events) => {
			const routers = [new Router(0), new Router(1), new Router(4)];
			const ways = new Map<string, LoadFrame[]>();
			let nowMs = 0;
			for (const [from, router] of routers.entries())
				for (const [to, other] of routers.entries())
					if (from !== to) {
						router.tellTo(other);
						other.book.begin(`${from}`, nowMs);
						ways.set(`${from}${to}`, []);
					}
			const tell = (from: number, to: number): void => {
				const frame = routers[from]?.tellers.get(routers[to] as Router)?.next(nowMs, nowMs);
				if (frame !== undefined) ways.get(`${from}${to}`)?.push(frame);
			};
			const arrive = (from: number, to: number, which: number, lost: boolean): void => {
				const way = ways.get(`${from}${to}`);
				if (way === undefined || way.length === 0) return;
				const [frame] = way.splice(which % way.length, 1);
				if (!lost) deliver(routers[to] as Router, `${from}`, frame, nowMs);
			};
			for (const step of events) {
				if (step.kind === 'dispatch') routers[step.at]?.dispatch(`t${step.target}`);
				else if (step.kind === 'end' || step.kind === 'token') routers[step.at]?.step(step.kind === 'end');
				else if (step.kind === 'wait') nowMs += step.ms;
				else if (step.kind === 'tell') tell(step.at, step.to);
				else arrive(step.at, step.to, step.which, step.lost);
			}
			// Quiet: the next full frame of each comes through, before or after the stragglers.
			nowMs += options.fullMs;
			for (const from of [0, 1, 2]) for (const to of [0, 1, 2]) tell(from, to);
			for (const key of ways.keys()) {
				const [from, to] = [Number(key[0]), Number(key[1])];
				const way = ways.get(key) as LoadFrame[];
				while (way.length > 0) arrive(from, to, way.length - 1, false);
			}
			for (let target = 0; target < ROWS; target++) {
				const id = `t${target}`;
				const truth = inflightCounters.map((_, counter) =>
					routers.reduce((sum, router) => sum + (router.ownCounts(id)[counter] as number), 0),
				);
				for (const router of routers) t.deepEqual(router.totals(id), truth);
			}
		}),
		{ numRuns: 200 },
	);
});

test('a change is told in the next frame, and only what changed', (t) => {
	const { one, two, teller } = pair();
	t.true(teller.next(0, 5)?.full, 'the first frame is full');
	t.is(teller.next(10, 5), undefined, 'nothing to tell');
	one.dispatch('t3');
	const frame = teller.next(11, 5);
	t.like(frame, { full: false, names: ['t3'], requests: [1], prefillTokens: [6144], prefillPairs: [30], madeAtMs: 5 });
	deliver(two, 'one', frame);
	t.deepEqual(two.totals('t3'), [1, 6144, 0, 0, 30]);
	t.deepEqual(two.ownCounts('t3'), [0, 0, 0, 0, 0], 'what others have is not its own to tell on');
	one.step(false);
	one.step(true);
	const ended = teller.next(12, 5);
	t.deepEqual(ended?.named.length, ROWS - 1, 'a target is named once');
	deliver(two, 'one', ended);
	t.deepEqual(two.totals('t3'), [0, 0, 0, 0, 0]);
});

test('a reader that is slow gets the newest counts in one frame', (t) => {
	const { one, two, teller } = pair();
	deliver(two, 'one', teller.next(0, 0));
	for (let turn = 0; turn < 500; turn++) one.dispatch('t1');
	const frame = teller.next(50, 0);
	t.deepEqual(frame?.requests, [500]);
	deliver(two, 'one', frame);
	t.is(two.counters.total(REQUESTS, two.rows.get('t1') as number), 500);
});

test('an idle router is heard all the same, and one that is silent for its lease counts for nothing until it speaks', (t) => {
	const { one, two, teller } = pair();
	one.dispatch('t1');
	deliver(two, 'one', teller.next(0, 0), 0);
	t.is(teller.next(99, 0), undefined);
	const beat = teller.next(100, 0);
	t.deepEqual(beat?.targets, []);
	deliver(two, 'one', beat, 100);
	t.is(two.book.lapse(2099), 0);
	t.is(two.book.ageMs('one', 2099), 1999);
	t.is(two.book.lapse(2100), 1);
	two.remote.flush();
	t.deepEqual(two.totals('t1'), [0, 0, 0, 0, 0]);
	t.is(two.book.lapse(2200), 0, 'told once');
	deliver(two, 'one', teller.next(2200, 0), 2200);
	t.is(two.totals('t1')[REQUESTS], 1, 'the full frame brings it back');
});

test('a stream that begins again replaces what was known, without a moment at zero', (t) => {
	const { one, two, teller } = pair();
	one.dispatch('t1');
	one.dispatch('t2');
	deliver(two, 'one', teller.next(0, 0));
	two.book.begin('one', 10);
	two.remote.flush();
	t.is(two.totals('t1')[REQUESTS], 1);
	one.step(true);
	deliver(two, 'one', one.tellTo(two).next(10, 0), 10);
	t.is(two.totals('t1')[REQUESTS], 0);
	t.is(two.totals('t2')[REQUESTS], 1);
	two.book.forgetSilent(5000, new Set());
	t.is(two.book.ageMs('one', 5000), 4990, 'not before its lease has been taken back');
	two.book.lapse(5000);
	two.remote.flush();
	t.is(two.totals('t2')[REQUESTS], 0);
	two.book.forgetSilent(5000, new Set(['one']));
	t.is(two.book.ageMs('one', 5000), 4990, 'it is followed still');
	two.book.forgetSilent(5000, new Set());
	t.is(two.book.ageMs('one', 5000), undefined);
});

test('a row that is given to another target does not keep the share of the one before', (t) => {
	const { one, two, teller } = pair();
	one.dispatch('t2');
	deliver(two, 'one', teller.next(0, 0));
	t.is(two.counters.remote(REQUESTS, 0), 1);
	(two.rows as Map<string, number>).delete('t2');
	two.remote.rowsChanged();
	t.is(two.counters.remote(REQUESTS, 0), 0);
	(two.rows as Map<string, number>).set('t2', 0);
	two.remote.rowsChanged();
	t.is(two.counters.remote(REQUESTS, 0), 1);
});

const rubbish: fc.Arbitrary<LoadFrame> = fc.record({
	sequence: fc.nat(5),
	full: fc.boolean(),
	named: fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 8 }),
	names: fc.array(fc.string({ maxLength: 600 }), { maxLength: 8 }),
	targets: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 8 }),
	requests: fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 8 }),
	prefillTokens: fc.array(fc.nat(), { maxLength: 8 }),
	decodeTokens: fc.array(fc.nat(), { maxLength: 8 }),
	decodes: fc.array(fc.nat(), { maxLength: 8 }),
	prefillPairs: fc.array(fc.nat(), { maxLength: 8 }),
	flows: fc.array(
		fc.record({
			number: fc.nat(20),
			model: fc.string({ maxLength: 2 }),
			tenant: fc.string({ maxLength: 2 }),
			band: fc.nat(20),
			service: fc.double(),
			waiting: fc.nat(5),
		}),
		{ maxLength: 20 },
	),
	madeAtMs: fc.double(),
});

test('what is malformed changes nothing, and no frame makes more known than may be', (t) => {
	fc.assert(
		fc.property(fc.array(rubbish, { maxLength: 30 }), (frames) => {
			const book = new LoadBook(bookOptions);
			book.begin('one', 0);
			for (const frame of frames) {
				const before = [...book.targets()];
				const applied = book.apply('one', frame, 0);
				if (!applied.ok) t.deepEqual([...book.targets()], before);
				t.true([...book.targets()].length <= ROWS);
			}
		}),
	);
	const { two, teller, one } = pair();
	one.dispatch('t1');
	const frame = teller.next(0, 0) as LoadFrame;
	t.deepEqual(two.book.apply('one', { ...frame, requests: [] }, 0), { ok: false, field: 'counts' });
	t.deepEqual(two.book.apply('stranger', frame, 0), { ok: false, field: 'sequence' });
});
