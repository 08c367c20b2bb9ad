// Owns the snapshot store as the consensus thread sees it: knows which snapshots there are, and sends what touches the disk to the other side
// (snapshot-service.ts), which answers in order. Callbacks come later, never from inside a call.
import type { SnapshotMeta } from '../raft/messages.js';
import type { AnnouncedSnapshot, SnapshotReader, SnapshotStore, SnapshotWriter } from './ports.js';
import { partName, type ReceivedPart, type SnapshotInfo } from './snapshot-files.js';
import { DIGEST_BYTES } from './snapshot-format.js';
import type { SnapshotAnswer, SnapshotRequest } from './snapshot-service.js';

/** Carries a request to the other side; `answered` is called later, in the order of requests. */
export type SendSnapshotRequest = (
	request: SnapshotRequest,
	answered: (answer: SnapshotAnswer | undefined, error: Error | undefined) => void,
) => void;

export class SnapshotClient implements SnapshotStore {
	readonly #send: SendSnapshotRequest;
	readonly #finished = new Map<string, SnapshotInfo>();
	readonly #parts = new Map<string, number>();
	#nextHandle = 1;

	constructor(finished: readonly SnapshotInfo[], parts: readonly ReceivedPart[], send: SendSnapshotRequest) {
		this.#send = send;
		for (const info of finished) this.#finished.set(keyOf(info.group, info), info);
		for (const { name, length } of parts) this.#parts.set(name, length);
	}

	create(group: number, meta: SnapshotMeta): SnapshotWriter {
		const handle = this.#nextHandle++;
		return this.#writer(group, { kind: 'create', handle, group, meta }, undefined);
	}

	receive(group: number, announced: AnnouncedSnapshot): SnapshotWriter {
		const handle = this.#nextHandle++;
		const name = partName(group, announced);
		for (const other of this.#parts.keys())
			if (other !== name && other.startsWith(`${group}-`)) this.#parts.delete(other);
		// An earlier try may have left more than there is: the other side begins anew, too.
		if ((this.#parts.get(name) ?? 0) > announced.totalBytes) this.#parts.delete(name);
		return this.#writer(group, { kind: 'receive', handle, group, announced }, name);
	}

	open(group: number, meta: SnapshotMeta): SnapshotReader | undefined {
		const info = this.#finished.get(keyOf(group, meta));
		if (info === undefined) return undefined;
		const handle = this.#nextHandle++;
		let refused: Error | undefined;
		this.#send({ kind: 'openReader', handle, group, meta }, (_, error) => {
			refused = error;
		});
		return {
			// Of a damaged one the first read says so.
			...(info.content ?? { meta, totalBytes: 0, digest: new Uint8Array(DIGEST_BYTES) }),
			read: (offset, lengthMax, done, failed) =>
				this.#send({ kind: 'read', handle, offset, lengthMax }, (answer, error) => {
					if (answer?.kind === 'bytes') done(answer.bytes);
					else failed(refused ?? error ?? unexpected(answer));
				}),
			close: () => this.#send({ kind: 'closeReader', handle }, ignore),
		};
	}

	release(group: number, index: number): void {
		for (const [key, info] of this.#finished)
			if (info.group === group && info.index < index) this.#finished.delete(key);
		this.#send({ kind: 'release', group, index }, ignore);
	}

	#writer(
		group: number,
		begin: SnapshotRequest & { readonly handle: number },
		part: string | undefined,
	): SnapshotWriter {
		const { handle } = begin;
		let refused: Error | undefined;
		let length = part === undefined ? 0 : (this.#parts.get(part) ?? 0);
		const lose = (): void => {
			if (part !== undefined) this.#parts.delete(part);
		};
		this.#send(begin, (_, error) => {
			refused = error;
		});
		const finish = (done: () => void, failed: (error: Error) => void): void =>
			this.#send({ kind: 'finish', handle }, (answer, error) => {
				if (answer?.kind === 'more') {
					finish(done, failed);
					return;
				}
				lose();
				if (answer?.kind !== 'finished') {
					failed(refused ?? error ?? unexpected(answer));
					return;
				}
				this.#finished.set(keyOf(group, answer.info), answer.info);
				done();
			});
		return {
			get length(): number {
				return length;
			},
			write: (piece, done, failed) => {
				length += piece.length;
				if (part !== undefined) this.#parts.set(part, length);
				this.#send({ kind: 'write', handle, piece }, (answer, error) => {
					if (answer !== undefined) {
						done();
						return;
					}
					lose();
					failed(refused ?? error ?? unexpected(answer));
				});
			},
			finish,
			abandon: () => this.#send({ kind: 'abandon', handle }, ignore),
		};
	}
}

function keyOf(group: number, snapshot: { readonly index: number; readonly term: number }): string {
	return `${group}-${snapshot.index}-${snapshot.term}`;
}

/** What nobody waits for: a disk that failed says so to the next who asks. */
function ignore(): void {}

function unexpected(answer: SnapshotAnswer | undefined): Error {
	return new TypeError(`the snapshot thread answered ${answer?.kind ?? 'nothing'}`);
}
