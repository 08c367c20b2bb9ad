// Owns the keys of the gossip group in replicated state: made by whoever is first, followed by all, rotated when a node is shut out. What it knows opens
// nothing any more once the key before is dropped too, a grace later, when the others have the new one. They travel over mutual TLS only; a node
// keeps a copy in its folder to find the others after a restart.
import { randomBytes } from 'node:crypto';
import type { ConsensusEngine, Watch } from '@infermesh/fabric';
import type { Clock } from '@infermesh/proto';

/** Where the keys of a pool lie: of the nodes of this cell, and of the gateways of all cells. */
export const gossipKeyNames = { cell: 'fabric/gossip-keys', gateways: 'fabric/wan-gossip-keys' } as const;
const KEY_BYTES = 32;
/** The one in use and the one before. */
const KEPT = 2;
/** Cells may have begun with keys of their own before they met. */
const ADOPTED_MAX = 4;
const RETRY_MS = 500;
/** For which the key before a rotation still opens: nodes hear of the new one within a second, or once they reach a coordinator again. */
const GRACE_MS = 60_000;

interface KeysRecord {
	/** Base64, the one in use first. */
	readonly keys: readonly string[];
	/** The decisions, `UUID@REVISION`, by which nodes were shut out before the one in use was made. */
	readonly against: readonly string[];
}

export class GossipKeys {
	readonly #engine: ConsensusEngine;
	readonly #clock: Clock;
	readonly #failed: (what: string, error: unknown) => void;
	readonly #listeners = new Set<() => void>();
	#record: KeysRecord;
	#watch: Watch | undefined;
	/** When the present record came here, by the clock that only goes forward. */
	#tookAtMs = 0;
	#keeping = false;
	#closed = false;

	readonly #key: string;

	constructor(
		key: (typeof gossipKeyNames)[keyof typeof gossipKeyNames],
		engine: ConsensusEngine,
		clock: Clock,
		remembered: readonly string[],
		failed: (what: string, error: unknown) => void,
	) {
		this.#key = key;
		this.#engine = engine;
		this.#clock = clock;
		this.#failed = failed;
		this.#record = { keys: remembered, against: [] };
	}

	get secrets(): readonly Uint8Array[] {
		return this.#record.keys.map((text) => Uint8Array.from(Buffer.from(text, 'base64')));
	}

	onChange(listener: () => void): void {
		this.#listeners.add(listener);
	}

	/** Resolves when there is a key: the mesh's, or the one remembered while the mesh does not answer. */
	async start(stopped: () => boolean): Promise<void> {
		while (!stopped()) {
			try {
				await this.#read();
				return;
			} catch (error) {
				if (this.#closed || this.#record.keys.length > 0) {
					void this.#later();
					return;
				}
				this.#failed('asking for the gossip key', error);
				await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS, resolve));
			}
		}
	}

	/**
	 * For whoever leads to call again and again: makes a new key while there is a decision that the present one does not heed, and drops the key before
	 * when its grace is over. Resolves when that is written, found done, or has failed and is for the next call.
	 */
	async keepFrom(decisions: readonly string[]): Promise<void> {
		if (this.#keeping || this.#closed) return;
		this.#keeping = true;
		try {
			if (unheeded(decisions, this.#record))
				await this.#write((present) =>
					unheeded(decisions, present)
						? { keys: [newKey(), ...present.keys].slice(0, KEPT), against: decisions }
						: undefined,
				);
			else if (this.#record.keys.length > 1 && this.#clock.nowMs() - this.#tookAtMs >= GRACE_MS) {
				const [inUse] = this.#record.keys;
				await this.#write((present) =>
					present.keys[0] === inUse ? { ...present, keys: present.keys.slice(0, 1) } : undefined,
				);
			}
		} catch (error) {
			this.#failed('rotating the gossip key', error);
		} finally {
			this.#keeping = false;
		}
	}

	/**
	 * Keys that another cell's gateways have: as many as there is room for open packets from then on, and none takes the place of one that is known here.
	 * `joins`: their pool is to be entered. Where they do not know the key in use here they would open nothing of this cell's, so theirs comes into use.
	 */
	adopt(theirs: readonly Uint8Array[], joins: boolean): void {
		const foreign = theirs.map((key) => Buffer.from(key).toString('base64'));
		const wanted = (present: readonly string[]): string[] => {
			const [inUse] = present;
			const [first] = foreign;
			const enters = joins && first !== undefined && (inUse === undefined || !foreign.includes(inUse));
			return [...new Set([...(enters ? [first] : []), ...present, ...foreign])].slice(0, ADOPTED_MAX);
		};
		if (JSON.stringify(wanted(this.#record.keys)) === JSON.stringify(this.#record.keys)) return;
		void this.#write((present) => ({ ...present, keys: wanted(present.keys) })).catch((error: unknown) =>
			this.#failed('taking over a gossip key', error),
		);
	}

	close(): void {
		this.#closed = true;
		this.#watch?.cancel();
	}

	async #later(): Promise<void> {
		while (!this.#closed) {
			await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS * 4, resolve, { unref: true }));
			try {
				await this.#read();
				return;
			} catch {
				// The mesh does not answer yet; what is remembered goes on.
			}
		}
	}

	async #read(): Promise<void> {
		const { items, revision } = await this.#engine.read({ key: this.#key });
		if (items[0] === undefined) await this.#write(() => ({ keys: [newKey()], against: [] }));
		else this.#take(items[0].value);
		this.#watch?.cancel();
		this.#watch = this.#engine.watch({ key: this.#key }, revision, {
			onEvents: (events) => {
				const last = events.at(-1);
				if (last?.kind === 'put') this.#take(last.current.value);
			},
			onCompacted: () => void this.#later(),
		});
	}

	/** Writes what `change` makes of the record; nothing when that is undefined. */
	async #write(change: (present: KeysRecord) => KeysRecord | undefined): Promise<void> {
		const { items } = await this.#engine.read({ key: this.#key });
		const found = items[0];
		const next = change(found === undefined ? { keys: [], against: [] } : decode(found.value));
		if (next === undefined) {
			if (found !== undefined) this.#take(found.value);
			return;
		}
		const value = Buffer.from(JSON.stringify(next), 'utf8');
		const { held } = await this.#engine.transact({
			when: [
				found === undefined ? { key: this.#key, exists: false } : { key: this.#key, modRevision: found.modRevision },
			],
			then: [{ put: this.#key, value }],
		});
		if (held) this.#take(value);
		else {
			const again = await this.#engine.read({ key: this.#key });
			if (again.items[0] !== undefined) this.#take(again.items[0].value);
		}
	}

	#take(bytes: Uint8Array): void {
		const next = decode(bytes);
		if (next.keys.length === 0 || JSON.stringify(next) === JSON.stringify(this.#record)) return;
		this.#record = next;
		this.#tookAtMs = this.#clock.nowMs();
		for (const listener of this.#listeners) listener();
	}
}

function unheeded(decisions: readonly string[], { against }: KeysRecord): boolean {
	return decisions.some((one) => !against.includes(one));
}

function newKey(): string {
	return randomBytes(KEY_BYTES).toString('base64');
}

function decode(bytes: Uint8Array): KeysRecord {
	return JSON.parse(Buffer.from(bytes).toString('utf8')) as KeysRecord;
}
