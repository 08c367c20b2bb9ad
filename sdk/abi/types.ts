// Owns the vocabulary in which the ABI is written down: scalar types, fields, structs, columns. Holds no layout of its own.

/** Fixed-width little-endian scalars of the ABI. `u64` is two 32-bit words, low first, 8-byte aligned. */
export type ScalarType = 'u32' | 'i32' | 'f32' | 'u64';

export interface FieldDef {
	readonly name: string;
	readonly type: ScalarType;
	/** Elements of an inline array; 1 when absent. */
	readonly count?: number;
	readonly unit: string;
	readonly meaning: string;
	/** The ABI minor version that added the field. */
	readonly since: number;
}

export interface PlacedField extends FieldDef {
	readonly offsetBytes: number;
}

export interface StructDef {
	readonly name: string;
	readonly summary: string;
	/** Who writes it: a strategy reads what the host writes, and the reverse. */
	readonly writer: 'host' | 'strategy';
	/** Total size; what lies beyond the last field is reserved and zero, so that minor versions can append. */
	readonly sizeBytes: number;
	readonly fields: readonly PlacedField[];
}

export interface ColumnDef {
	/** Stable for ever; the index into the frame's column table. */
	readonly id: number;
	readonly name: string;
	readonly type: 'u32' | 'f32';
	readonly unit: string;
	readonly meaning: string;
	/** Where the value comes from. */
	readonly source: 'registry' | 'runtime' | 'router' | 'gpu' | 'fabric' | 'fusion';
	/** The value a row has before anything is known: neutral, never a trap. */
	readonly initial: number;
	readonly since: number;
}

export interface EnumDef {
	readonly name: string;
	readonly summary: string;
	readonly values: ReadonlyArray<{ readonly name: string; readonly value: number; readonly meaning: string }>;
}

const scalarBytes: Readonly<Record<ScalarType, number>> = { u32: 4, i32: 4, f32: 4, u64: 8 };

/** Places fields one after another at their natural alignment. Throws when they do not fit: a layout bug, found at load. */
export function defineStruct(
	name: string,
	writer: 'host' | 'strategy',
	sizeBytes: number,
	summary: string,
	fields: readonly FieldDef[],
): StructDef {
	let at = 0;
	const placed: PlacedField[] = [];
	for (const field of fields) {
		const width = scalarBytes[field.type];
		at = Math.ceil(at / width) * width;
		placed.push({ ...field, offsetBytes: at });
		at += width * (field.count ?? 1);
	}
	if (at > sizeBytes) throw new RangeError(`ABI struct ${name} needs ${at} bytes and declares ${sizeBytes}`);
	if (sizeBytes % 64 !== 0 && sizeBytes % 16 !== 0) throw new RangeError(`ABI struct ${name} is not 16-byte sized`);
	return { name, summary, writer, sizeBytes, fields: placed };
}
