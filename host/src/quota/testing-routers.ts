// Owns routers that lease one tenant's quota from one account in virtual time, each with a board and a keeper of its own, and traffic for them. Test support only.
import { createLocalEngine } from '@infermesh/fabric';
import { SeededRandom } from '@infermesh/proto';
import type { ExecutionContext } from 'ava';
import type { Quota } from '../records/kinds.js';
import { createQuotaBoard, QuotaBoard } from '../router/admission/quota-board.js';
import { QuotaKeeper } from './keeper.js';
import { limitsOf } from './limits.js';
import { cuttable, HandClock, settled } from './testing.js';

export const TENANT = 1;
/** What a request takes. */
export const CHARGE = { tokensIn: 10, tokensOut: 10 };

export interface Router {
	readonly board: QuotaBoard;
	readonly keeper: QuotaKeeper;
	readonly link: ReturnType<typeof cuttable>;
	/** Tries to take; asks the keeper and tries again when it falls short. */
	take(): Promise<boolean>;
	end(tokensOut?: number): void;
}

export function routers(
	t: ExecutionContext,
	count: number,
): { readonly clock: HandClock; readonly all: readonly Router[] } {
	const clock = new HandClock();
	const engine = createLocalEngine({ clock, random: new SeededRandom(1), fault: (error) => t.fail(String(error)) });
	t.teardown(() => engine.close());
	const all = Array.from({ length: count }, (_, at): Router => {
		const board = new QuotaBoard(createQuotaBoard(4, 1));
		const link = cuttable(engine);
		const keeper = new QuotaKeeper(
			{ leaseMs: 5000, periodMs: 500 },
			{
				engine: link.engine,
				clock,
				board,
				router: `router-${at}`,
				tenantId: (name) => (name === 'acme' ? TENANT : 0),
				granted: () => undefined,
				failed: () => undefined,
			},
		);
		t.teardown(() => keeper.close());
		return {
			board,
			keeper,
			link,
			async take() {
				if (board.take(0, TENANT, CHARGE) < 0) return true;
				keeper.want(TENANT);
				await settled();
				return board.take(0, TENANT, CHARGE) < 0;
			},
			end: (tokensOut = CHARGE.tokensOut) =>
				board.settle(0, TENANT, board.limited(TENANT), CHARGE, { tokensIn: CHARGE.tokensIn, tokensOut }, 1),
		};
	});
	return { clock, all };
}

export function limit(all: readonly Router[], quota: Omit<Quota, 'tenant'>): void {
	for (const { keeper } of all) keeper.setLimits(limitsOf([{ tenant: 'acme', ...quota }]));
}

/** Requests at so many a second for each router, evenly, and ended at once; answers how many each let through. */
export async function asksFor(
	all: readonly Router[],
	perS: readonly number[],
	clock: HandClock,
	forMs: number,
): Promise<number[]> {
	const got = all.map(() => 0);
	const owed = all.map(() => 0);
	for (let passed = 0; passed < forMs; passed += TICK_MS) {
		for (const [at, router] of all.entries()) {
			owed[at] = (owed[at] as number) + ((perS[at] as number) * TICK_MS) / 1000;
			for (; owed[at] >= 1; owed[at] -= 1) {
				if (!(await router.take())) continue;
				got[at] = (got[at] as number) + 1;
				router.end();
			}
		}
		await clock.pass(TICK_MS);
	}
	return got;
}

const TICK_MS = 50;
