// Owns what Serf puts into the opaque parts of memberlist: tags in the metadata, coordinates in acks, and the intent to leave, without which
// Serf's agents would take a graceful leave for a failure. Its events and queries are not interpreted.
import { MeshError } from '@infermesh/proto';
import { ByteWriter, Malformed } from '../../bytes/binary.js';
import { type Coordinate, decodeCoordinate, encodeCoordinate, isValid } from '../../topology/coordinate.js';
import { membershipErrors } from '../errors.js';
import { emptyBytes, type NodeId } from '../messages.js';
import { type NodeMeta, roleBits } from '../meta.js';
import { swimBounds } from '../settings.js';
import { Fields, nameMaxBytes, struct } from './fields.js';
import { bodyLimits, type Encodable, type MsgpackValue, type ValueLimits, ValueReader, writeValue } from './msgpack.js';

const tagsMagic = 255;
const coordinateVersion = 1;
/** Serf's numbers of its messages. */
const serfType = { leave: 0, pushPull: 2 } as const;
/** A Lamport time beyond this would leave none to answer with. */
const lamportMax = 2 ** 52;
/** Leaves remembered, so that their intent is passed on with them. */
const leavesMax = 1_024;
const stateLimits: ValueLimits = Object.freeze({ itemsMax: 8 * swimBounds.membersMax, depthMax: 8 });

/** Metadata that Serf shows as tags. Throws MeshError IM_MEMBERSHIP_OVERSIZED. */
export function encodeTags(tags: ReadonlyMap<string, string>): Uint8Array {
	const writer = new ByteWriter();
	writer.u8(tagsMagic);
	writeValue(writer, tags);
	if (writer.length <= swimBounds.metaMaxBytes) return writer.finish();
	throw new MeshError(membershipErrors, 'IM_MEMBERSHIP_OVERSIZED', `tags of ${writer.length} bytes`);
}

/** Undefined for what are no tags. Very old agents put their role alone. */
export function decodeTags(meta: Uint8Array): ReadonlyMap<string, string> | undefined {
	if (meta.length === 0) return new Map();
	if (meta[0] !== tagsMagic) return undefined;
	return attempt(() => {
		const tags = new Map<string, string>();
		for (const [key, value] of new ValueReader(meta, bodyLimits, 1).readMap()) tags.set(key, textOf(value));
		return tags;
	});
}

/** A node's metadata as tags: its name goes under `name`, as the member's own name is its UUID. */
export function tagsOfMeta(meta: NodeMeta): ReadonlyMap<string, string> {
	const roles = Object.entries(roleBits).flatMap(([role, bit]) => ((meta.roles & bit) === 0 ? [] : [role]));
	return new Map([
		['name', meta.name],
		['roles', roles.join(',')],
		['version', meta.version],
	]);
}

/** What tags say of a node; roles that are not known are passed over, and an agent that is none of ours has empty ones. */
export function metaOfTags(tags: ReadonlyMap<string, string>): NodeMeta {
	const bits: Readonly<Record<string, number>> = roleBits;
	const named = (tags.get('roles') ?? '').split(',');
	const roles = named.reduce((all, role) => all | (Object.hasOwn(bits, role) ? (bits[role] as number) : 0), 0);
	return { name: tags.get('name') ?? '', roles, version: tags.get('version') ?? '', digest: emptyBytes };
}

/** The payload of an ack for Serf, from the mesh's coordinate; empty for what is none. */
export function serfCoordinate(payload: Uint8Array): Uint8Array {
	const coordinate = decodeCoordinate(payload);
	if (coordinate === undefined) return emptyBytes;
	const { vector, error, adjustmentS, heightS } = coordinate;
	const writer = new ByteWriter();
	writer.u8(coordinateVersion);
	const fields: Readonly<Record<string, Encodable>> = {
		Adjustment: { float: adjustmentS },
		Error: { float: error },
		Height: { float: heightS },
		Vec: vector.map((float) => ({ float })),
	};
	writeValue(writer, struct(fields));
	return writer.finish();
}

/** The mesh's coordinate from Serf's; empty for what no network can have. */
export function meshCoordinate(payload: Uint8Array): Uint8Array {
	if (payload[0] !== coordinateVersion) return emptyBytes;
	const coordinate = attempt((): Coordinate => {
		const fields = new ValueReader(payload, bodyLimits, 1).readMap();
		const vector = fields.get('Vec');
		if (!Array.isArray(vector)) throw new Malformed('Vec');
		return {
			vector: vector.map((one: MsgpackValue) => numberOf(one)),
			error: numberOf(fields.get('Error')),
			adjustmentS: numberOf(fields.get('Adjustment')),
			heightS: numberOf(fields.get('Height')),
		};
	});
	return coordinate !== undefined && isValid(coordinate) ? encodeCoordinate(coordinate) : emptyBytes;
}

/** Serf's Lamport clock, as far as leaving needs it. */
export class SerfClock {
	readonly #self: NodeId;
	#time = 0;
	#ownLeave: number | undefined;
	/** When others said that they leave. */
	readonly #leaves = new Map<NodeId, number>();

	constructor(self: NodeId) {
		this.#self = self;
	}

	/** Looks at a user message; only intents to leave matter. */
	onUser(payload: Uint8Array): void {
		if (payload[0] !== serfType.leave) return;
		attempt(() => {
			const fields = new Fields(new ValueReader(payload, bodyLimits, 1).readMap());
			this.#left(fields.name('Node'), fields.unsigned('LTime', lamportMax));
		});
	}

	/** Looks at Serf's part of full state. */
	onState(state: Uint8Array): void {
		if (state[0] !== serfType.pushPull) return;
		attempt(() => {
			const map = new ValueReader(state, stateLimits, 1).readMap();
			this.#witness(new Fields(map).unsigned('LTime', lamportMax));
			const times = map.get('StatusLTimes');
			const left = map.get('LeftMembers');
			if (!(times instanceof Map) || !Array.isArray(left)) return;
			for (const one of left as readonly MsgpackValue[]) {
				const time = (times as ReadonlyMap<string, MsgpackValue>).get(textOf(one));
				if (typeof time === 'number' && time >= 0 && time <= lamportMax) this.#left(textOf(one), time);
			}
		});
	}

	/** The user message that says that a member leaves; undefined for another whose intent was never heard. */
	leaveIntent(id: NodeId): Uint8Array | undefined {
		if (id === this.#self) this.#ownLeave ??= this.#time + 1;
		const time = id === this.#self ? this.#ownLeave : this.#leaves.get(id);
		return time === undefined ? undefined : intentBytes(id, time);
	}

	#left(id: NodeId, time: number): void {
		this.#witness(time);
		if (id === '' || id === this.#self || time < (this.#leaves.get(id) ?? 0)) return;
		this.#leaves.delete(id);
		this.#leaves.set(id, time);
		if (this.#leaves.size <= leavesMax) return;
		const [oldest] = this.#leaves.keys();
		if (oldest !== undefined) this.#leaves.delete(oldest);
	}

	#witness(time: number): void {
		this.#time = Math.max(this.#time, time);
	}
}

/** The most that the intent of a member takes. */
export function leaveIntentMaxBytes(id: NodeId): number {
	return intentBytes(id, lamportMax).length;
}

function intentBytes(id: NodeId, time: number): Uint8Array {
	const writer = new ByteWriter(nameMaxBytes);
	writer.u8(serfType.leave);
	writeValue(writer, struct({ LTime: time, Node: id }));
	return writer.finish();
}

function textOf(value: MsgpackValue): string {
	if (!(value instanceof Uint8Array)) throw new Malformed('text');
	return new TextDecoder().decode(value);
}

function numberOf(value: MsgpackValue | undefined): number {
	if (typeof value !== 'number') throw new Malformed('number');
	return value;
}

/** What Serf's part holds is of use, not of need: what cannot be read is passed over. */
function attempt<T>(read: () => T): T | undefined {
	try {
		return read();
	} catch (error) {
		if (error instanceof Malformed) return undefined;
		throw error;
	}
}
