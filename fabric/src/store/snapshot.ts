// Owns the form of a snapshot: frames of length, CRC-32 and payload. A header frame, then leases, versions by key and requests in frames of
// about `snapshotPieceBytes`, then an end frame with the counts. The writer takes hold of everything when it is made and encodes when it is
// asked, so commands may be applied meanwhile; the reader takes the stream cut anywhere and answers a whole state or a named error. In format 2 a frame
// may be packed: tag, length of the payload it stands for, and that payload deflated.
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { MeshError } from '@infermesh/proto';
import { ByteReader, ByteWriter, Malformed } from '../bytes/binary.js';
import { requestIdBytes } from './command.js';
import { storeErrors } from './errors.js';
import type { Version } from './keyspace.js';
import { isKey, keyMaxLength, leaseIdMaxLength, restoreRevisionGap, snapshotPieceBytes } from './limits.js';
import { emptyState, type State } from './state.js';

const magic = 'infermesh-store';
export type SnapshotFormat = 1 | 2;
/** The newest that can be read. */
export const snapshotFormatNewest: SnapshotFormat = 2;
const frameHeadBytes = 8;
/** A piece, and one version or answer that goes over its edge. */
const frameBytesMax = 4 << 20;
const tags = { header: 1, leases: 2, versions: 3, requests: 4, end: 5, packed: 6 } as const;
/** The fastest: pieces are made on the thread that keeps heartbeats. */
const deflateLevel = 1;
const flagKey = 1;
const flagDeleted = 2;
const flagLease = 4;

/** Takes hold of the state now; the pieces are encoded as they are asked for. */
export function snapshotPieces(state: State, format: SnapshotFormat): Iterable<Uint8Array> {
	const header = headerFrame(state, format);
	const formed = format === 1 ? (piece: Uint8Array) => piece : packed;
	const leases = [...state.leases.all()].map(({ id, ttlMs, renewals }) => ({ id, ttlMs, renewals }));
	const versions = state.keys.allVersions();
	const requests = state.requests.all();
	return (function* () {
		yield header;
		yield* frames(tags.leases, leases, formed, (writer, lease) => {
			writer.ascii(lease.id).varint(lease.ttlMs).varint(lease.renewals);
		});
		let entry: unknown;
		yield* frames(tags.versions, versions, formed, (writer, version) => {
			writeVersion(writer, version, version.entry !== entry);
			entry = version.entry;
		});
		yield* frames(tags.requests, requests, formed, (writer, [id, result]) => {
			writer.raw(id).bytes(result);
		});
		const end = begun(new ByteWriter(), tags.end);
		yield frame(end.varint(leases.length).varint(versions.length).varint(requests.length));
	})();
}

function headerFrame(state: State, format: SnapshotFormat): Uint8Array {
	const { quotaBytes, historyRevisionsMax, historyBytesMax } = state.settings;
	const writer = begun(new ByteWriter(), tags.header).ascii(magic).varint(format).ascii(state.clusterId);
	writer.varint(state.appliedIndex).raw(state.appliedHash);
	writer.varint(state.keys.revision).varint(state.keys.compactedRevision).varint(state.leases.sequence);
	writer
		.u8(state.noSpace ? 1 : 0)
		.varint(quotaBytes)
		.varint(historyRevisionsMax)
		.varint(historyBytesMax);
	return frame(writer);
}

function* frames<T>(
	tag: number,
	items: readonly T[],
	formed: (frame: Uint8Array) => Uint8Array,
	write: (writer: ByteWriter, item: T) => void,
): Generator<Uint8Array> {
	const writer = new ByteWriter(snapshotPieceBytes);
	for (const item of items) {
		if (writer.length === 0) begun(writer, tag);
		write(writer, item);
		if (writer.length < snapshotPieceBytes) continue;
		yield formed(frame(writer));
		writer.clear();
	}
	if (writer.length > 0) yield formed(frame(writer));
}

function frame(writer: ByteWriter): Uint8Array {
	const bytes = writer.finish();
	const head = new DataView(bytes.buffer, 0, frameHeadBytes);
	head.setUint32(0, bytes.length - frameHeadBytes);
	head.setUint32(4, crc32(bytes.subarray(frameHeadBytes)));
	return bytes;
}

/** The frame deflated, where that makes it smaller. */
function packed(plain: Uint8Array): Uint8Array {
	const payload = plain.subarray(frameHeadBytes);
	const writer = begun(new ByteWriter(), tags.packed).varint(payload.length);
	const small = frame(writer.raw(deflateRawSync(payload, { level: deflateLevel })));
	return small.length < plain.length ? small : plain;
}

/** The payload that a packed frame stands for. */
function unpacked(reader: ByteReader): ByteReader {
	const length = reader.count(frameBytesMax, 0);
	try {
		const payload = inflateRawSync(reader.raw(reader.left), { maxOutputLength: Math.max(1, length) });
		if (payload.length === length) return new ByteReader(payload);
	} catch {
		throw new Malformed('packed frame');
	}
	throw new Malformed('length of a packed frame');
}

/** Begins a frame: room for its head, then the tag. */
function begun(writer: ByteWriter, tag: number): ByteWriter {
	return writer.u32(0).u32(0).u8(tag);
}

function writeVersion(writer: ByteWriter, version: Version, newKey: boolean): void {
	const deleted = version.value === undefined;
	writer.u8((newKey ? flagKey : 0) | (deleted ? flagDeleted : 0) | (version.lease === undefined ? 0 : flagLease));
	if (newKey) writer.ascii(version.entry.key);
	writer.varint(version.createRevision).varint(version.modRevision).varint(version.order).varint(version.version);
	if (version.lease !== undefined) writer.ascii(version.lease);
	if (version.value !== undefined) writer.bytes(version.value);
}

export class SnapshotReader {
	readonly #newCluster: { readonly clusterId: string } | undefined;
	readonly #formatMax: SnapshotFormat;
	#format = 0;
	readonly #state = emptyState();
	/** Bytes of a frame that is not whole yet. */
	#waiting = new Uint8Array(0);
	#stage: number = 0;
	#revision = 0;
	#compactedRevision = 0;
	#key = '';
	#previous: Version | undefined;
	#leases = 0;
	#versions = 0;
	#requests = 0;
	readonly #changes: Version[] = [];

	/** Snapshots of a format above `formatMax` are refused. */
	constructor(formatMax: SnapshotFormat, newCluster?: { readonly clusterId: string }) {
		this.#formatMax = formatMax;
		this.#newCluster = newCluster;
	}

	push(bytes: Uint8Array): void {
		guard(() => {
			let input = bytes;
			if (this.#waiting.length > 0) {
				input = new Uint8Array(this.#waiting.length + bytes.length);
				input.set(this.#waiting);
				input.set(bytes, this.#waiting.length);
			}
			let at = 0;
			while (input.length - at >= frameHeadBytes) {
				const head = new ByteReader(input.subarray(at, at + frameHeadBytes));
				const length = head.u32();
				const checksum = head.u32();
				if (length === 0 || length > frameBytesMax) throw new Malformed('frame length');
				const end = at + frameHeadBytes + length;
				if (end > input.length) break;
				const payload = input.subarray(at + frameHeadBytes, end);
				if (crc32(payload) !== checksum) throw new Malformed('checksum');
				this.#frame(new ByteReader(payload));
				at = end;
			}
			this.#waiting = input.slice(at);
		});
	}

	finish(): State {
		return guard(() => {
			if (this.#stage !== tags.end || this.#waiting.length > 0) throw new Malformed('cut short');
			this.#joinHistory();
			this.#joinLeases();
			if (this.#newCluster !== undefined) this.#moveOn(this.#newCluster.clusterId);
			return this.#state;
		});
	}

	#frame(frame: ByteReader): void {
		const outer = frame.u8();
		const isPacked = outer === tags.packed && this.#format >= 2;
		const reader = isPacked ? unpacked(frame) : frame;
		const tag = isPacked ? reader.u8() : outer;
		if (tag < this.#stage || this.#stage === tags.end || (this.#stage === 0) !== (tag === tags.header))
			throw new Malformed('order of frames');
		if (tag === tags.header && this.#stage === tags.header) throw new Malformed('two headers');
		this.#stage = tag;
		if (tag === tags.header) this.#header(reader);
		else if (tag === tags.leases) while (reader.left > 0) this.#lease(reader);
		else if (tag === tags.versions) while (reader.left > 0) this.#version(reader);
		else if (tag === tags.requests) while (reader.left > 0) this.#request(reader);
		else if (tag === tags.end) this.#end(reader);
		else throw new Malformed('frame of an unknown kind');
		reader.end();
	}

	#header(reader: ByteReader): void {
		if (reader.ascii(64) !== magic) throw new Malformed('not a snapshot of the store');
		const version = reader.varint();
		if (version < 1 || version > this.#formatMax)
			throw new MeshError(storeErrors, 'IM_STORE_SNAPSHOT_VERSION', `the snapshot has format ${version}`);
		this.#format = version;
		const state = this.#state;
		state.clusterId = reader.ascii(64);
		state.appliedIndex = reader.varint();
		state.appliedHash = reader.raw(32).slice();
		this.#revision = reader.varint();
		this.#compactedRevision = reader.varint();
		state.leases.sequence = reader.varint();
		state.noSpace = reader.flag();
		const settings = {
			quotaBytes: reader.varint(),
			historyRevisionsMax: reader.varint(),
			historyBytesMax: reader.varint(),
		};
		if (this.#revision < 1 || this.#compactedRevision > this.#revision) throw new Malformed('revisions');
		if (Math.min(...Object.values(settings)) < 1) throw new Malformed('settings');
		state.settings = settings;
	}

	#lease(reader: ByteReader): void {
		const id = reader.ascii(leaseIdMaxLength);
		if (id === '' || this.#state.leases.get(id) !== undefined) throw new Malformed('lease');
		this.#state.leases.load(id, reader.varint(), reader.varint());
		this.#leases++;
	}

	#version(reader: ByteReader): void {
		const flags = reader.u8();
		if ((flags & flagKey) !== 0) {
			const key = reader.ascii(keyMaxLength);
			if (!isKey(key) || key <= this.#key) throw new Malformed('order of keys');
			this.#key = key;
			this.#previous = undefined;
		} else if (this.#previous === undefined) throw new Malformed('version without a key');
		const createRevision = reader.varint();
		const modRevision = reader.varint();
		const order = reader.varint();
		const version = reader.varint();
		const lease = (flags & flagLease) === 0 ? undefined : reader.ascii(leaseIdMaxLength);
		const value = (flags & flagDeleted) === 0 ? reader.bytes() : undefined;
		const after = this.#previous === undefined ? 0 : Math.max(this.#previous.modRevision, this.#compactedRevision);
		if (modRevision <= after || modRevision > this.#revision) throw new Malformed('order of versions');
		if (value === undefined ? version !== 0 || lease !== undefined : version < 1) throw new Malformed('version');
		this.#previous = this.#state.keys.load(this.#key, {
			value,
			createRevision,
			modRevision,
			order,
			version,
			lease,
		});
		if (modRevision > this.#compactedRevision) this.#changes.push(this.#previous);
		this.#versions++;
	}

	#request(reader: ByteReader): void {
		const id = reader.raw(requestIdBytes);
		if (this.#state.requests.answer(id) !== undefined) throw new Malformed('request');
		this.#state.requests.add(id, reader.bytes());
		this.#requests++;
	}

	#end(reader: ByteReader): void {
		const counts = [reader.varint(), reader.varint(), reader.varint()];
		if (counts[0] !== this.#leases || counts[1] !== this.#versions || counts[2] !== this.#requests)
			throw new Malformed('counts');
	}

	/** Every revision after the compacted one has its changes, in their order; only the empty store's first has none. */
	#joinHistory(): void {
		const revisions = this.#revision - this.#compactedRevision;
		if (revisions > this.#changes.length + 1) throw new Malformed('history');
		const history: Version[][] = Array.from({ length: revisions }, () => []);
		this.#changes.sort((a, b) => a.modRevision - b.modRevision || a.order - b.order);
		for (const version of this.#changes) {
			const changes = history[version.modRevision - this.#compactedRevision - 1] as Version[];
			if (version.order !== changes.length) throw new Malformed('history');
			changes.push(version);
		}
		history.forEach((changes, at) => {
			if ((changes.length === 0) !== (at + this.#compactedRevision === 0)) throw new Malformed('history');
		});
		this.#state.keys.loadHistory(history, this.#revision, this.#compactedRevision);
	}

	#joinLeases(): void {
		const { keys, leases } = this.#state;
		for (const { entry, lease } of keys.present({ prefix: '' }, Infinity)) {
			if (lease === undefined) continue;
			if (leases.get(lease) === undefined) throw new Malformed('key of a lease that is not there');
			leases.attach(lease, entry.key);
		}
	}

	#moveOn(clusterId: string): void {
		const fresh = emptyState();
		const state = this.#state;
		state.clusterId = clusterId;
		state.appliedIndex = 0;
		state.appliedHash = fresh.appliedHash;
		state.requests = fresh.requests;
		state.keys.moveOn(restoreRevisionGap);
		state.leases.sequence += restoreRevisionGap;
	}
}

function guard<T>(work: () => T): T {
	try {
		return work();
	} catch (error) {
		if (error instanceof Malformed)
			throw new MeshError(storeErrors, 'IM_STORE_SNAPSHOT_CORRUPT', `the snapshot is damaged: ${error.message}`);
		throw error;
	}
}
