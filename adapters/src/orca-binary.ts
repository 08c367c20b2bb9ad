// Owns the wire form of `xds.data.orca.v3.OrcaLoadReport`: its doubles and its maps of names to doubles. Unknown fields are passed over, as
// protobuf wants it.
const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** Single numbers of a report by field. */
const scalars: ReadonlyMap<number, string> = new Map([
	[1, 'cpu_utilization'],
	[2, 'mem_utilization'],
	[6, 'rps_fractional'],
	[7, 'eps'],
	[9, 'application_utilization'],
]);
const NAMED_METRICS = 8;

/** The metrics of a report by name, at most `metricsMax`; `undefined` when the bytes are no protobuf message. */
export function readOrcaReport(bytes: Uint8Array, metricsMax: number): ReadonlyMap<string, number> | undefined {
	const metrics = new Map<string, number>();
	const keep = (name: string, value: number): void => {
		if (metrics.size < metricsMax) metrics.set(name, value);
	};
	const sound = eachField(bytes, (field, value) => {
		const name = scalars.get(field);
		if (name !== undefined && typeof value === 'number') keep(name, value);
		else if (field === NAMED_METRICS && typeof value === 'object') return entry(value, keep);
		return true;
	});
	return sound ? metrics : undefined;
}

/** One entry of a map: name in field 1, number in field 2. */
function entry(bytes: Uint8Array, keep: (name: string, value: number) => void): boolean {
	let name = '';
	let number = 0;
	const sound = eachField(bytes, (field, value) => {
		if (field === 1 && typeof value === 'object') name = Buffer.from(value).toString('utf8');
		else if (field === 2 && typeof value === 'number') number = value;
		return true;
	});
	if (sound && name !== '') keep(name, number);
	return sound;
}

type FieldValue = number | Uint8Array | undefined;

/** Visits the fields of a message: numbers of doubles, bytes of what has a length, nothing of the rest. False when it is malformed. */
function eachField(bytes: Uint8Array, visit: (field: number, value: FieldValue) => boolean): boolean {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	let at = 0;
	/** A number of at most 32 bits; −1 where there is none. */
	const varint = (): number => {
		let value = 0;
		for (let shift = 0; shift < 70; shift += 7) {
			const byte = bytes[at++];
			if (byte === undefined) return -1;
			if (shift < 28) value += (byte & 0x7f) * 2 ** shift;
			if (byte < 0x80) return value;
		}
		return -1;
	};
	while (at < bytes.length) {
		const tag = varint();
		if (tag < 0) return false;
		let value: FieldValue;
		const wire = tag & 7;
		if (wire === VARINT) {
			if (varint() < 0) return false;
		} else if (wire === FIXED64) {
			if (at + 8 > bytes.length) return false;
			value = view.getFloat64(at, true);
			at += 8;
		} else if (wire === LENGTH) {
			const length = varint();
			if (length < 0 || at + length > bytes.length) return false;
			value = bytes.subarray(at, at + length);
			at += length;
		} else if (wire === FIXED32) {
			if (at + 4 > bytes.length) return false;
			at += 4;
		} else return false;
		if (!visit(tag >>> 3, value)) return false;
	}
	return true;
}
