// Owns access to columns: one value by row, or four rows at a time. A column is an address; these classes cost nothing.
import { columnsAt, frameAt, scratchAt, rowCapacity, request } from './frame';

/** 32-bit floats, one a row. `column[row]`, or `column.four(row)` for rows row … row + 3 (row a multiple of 4). */
@unmanaged
export class F32Column {
	[key: number]: f32;

	@inline
	@operator('[]')
	at(row: i32): f32 {
		return load<f32>(changetype<usize>(this) + ((<usize>row) << 2));
	}

	@inline
	@operator('[]=')
	put(row: i32, value: f32): void {
		store<f32>(changetype<usize>(this) + ((<usize>row) << 2), value);
	}

	@inline
	four(row: i32): v128 {
		return v128.load(changetype<usize>(this) + ((<usize>row) << 2));
	}

	@inline
	putFour(row: i32, values: v128): void {
		v128.store(changetype<usize>(this) + ((<usize>row) << 2), values);
	}
}

/** 32-bit unsigned integers, one a row. */
@unmanaged
export class U32Column {
	[key: number]: u32;

	@inline
	@operator('[]')
	at(row: i32): u32 {
		return load<u32>(changetype<usize>(this) + ((<usize>row) << 2));
	}

	@inline
	@operator('[]=')
	put(row: i32, value: u32): void {
		store<u32>(changetype<usize>(this) + ((<usize>row) << 2), value);
	}

	@inline
	four(row: i32): v128 {
		return v128.load(changetype<usize>(this) + ((<usize>row) << 2));
	}

	/** Milliseconds since the mesh-clock time in this column (a column named `*_at_ms`), right across the wrap of the clock. */
	@inline
	ageMs(row: i32): u32 {
		return request().now_ms - this.at(row);
	}
}

/** Address of a column by id. Only for ids the manifest declares; the generated manifest.ts gives them by name. */
@inline
export function columnAddress(id: u32): usize {
	return frameAt + load<u32>(columnsAt + ((<usize>id) << 2));
}

/** Working columns: `scratch(0)`, `(1)`, `(2)`. Contents are undefined at entry. The fourth belongs to the ranking helpers. */
@inline
export function scratch(index: i32): F32Column {
	return changetype<F32Column>(scratchAt + <usize>(index * rowCapacity) * 4);
}
