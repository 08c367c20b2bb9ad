import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { systemClock } from '../main/clock.js';
import { type DevEvent, devProject, renderDevEvent } from './dev-project.js';
import { generatedProject } from './testing.js';

/** Collects events and resolves waits for the next one that matches. */
class Events {
	readonly all: DevEvent[] = [];
	readonly #waiting: { readonly matches: (event: DevEvent) => boolean; readonly resolve: (event: DevEvent) => void }[] =
		[];
	#seen = 0;

	readonly push = (event: DevEvent): void => {
		this.all.push(event);
		this.#settle();
	};

	/** The next event not yet waited for that has one of these kinds. */
	next(...kinds: DevEvent['kind'][]): Promise<DevEvent> {
		return new Promise((resolve) => {
			this.#waiting.push({ matches: (event) => kinds.includes(event.kind), resolve });
			this.#settle();
		});
	}

	#settle(): void {
		while (this.#waiting.length > 0 && this.#seen < this.all.length) {
			const event = this.all[this.#seen++] as DevEvent;
			if (this.#waiting[0]?.matches(event) === true) this.#waiting.shift()?.resolve(event);
		}
	}

	text(): string {
		return this.all.map(renderDevEvent).join('');
	}
}

test('a save is compiled, checked and loaded; an error keeps the version before; the next save mends it', async (t) => {
	const dir = generatedProject(t, 'strategy-as-minimal');
	const entry = path.join(dir, 'assembly', 'index.ts');
	const sound = readFileSync(entry, 'utf8');
	const loaded: number[] = [];
	const events = new Events();
	const stop = new AbortController();
	const load = async (wasm: Uint8Array): Promise<string> => {
		loaded.push(wasm.length);
		return 'stage active';
	};
	const running = devProject(dir, { load, clock: systemClock, onEvent: events.push, signal: stop.signal });

	t.is((await events.next('swapped', 'failed')).kind, 'swapped', events.text());
	t.is(loaded.length, 1);

	writeFileSync(entry, sound.replace('columns.load', 'columns.lod'));
	const failed = await events.next('swapped', 'failed');
	t.is(failed.kind, 'failed', events.text());
	t.regex(
		renderDevEvent(failed),
		/build failed; the version before stays active\n {4}IM_BUILD_COMPILE: .*index\.ts:12:/,
	);
	t.is(loaded.length, 1);

	writeFileSync(entry, sound.replace('addWeighted(cost, columns.load, 1)', 'addWeighted(cost, columns.load, 2)'));
	const swapped = await events.next('swapped', 'failed');
	t.is(swapped.kind, 'swapped', events.text());
	t.is(loaded.length, 2);
	t.true(swapped.kind === 'swapped' && swapped.ms < 10_000);
	t.deepEqual(
		events.all.slice(-4).map((event) => (event.kind === 'step' ? event.step : event.kind)),
		['build', 'check', 'load', 'swapped'],
	);
	stop.abort();
	await running;
});
