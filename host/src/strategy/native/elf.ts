// Owns reading a shared library as bytes, before any of it is loaded: for which machine it is, what it exports and needs, and which protections it was
// linked with. The bytes may be hostile: every offset is checked against what is there. Layouts are those of the ELF-64 specification.

export interface ElfFacts {
	/** `linux-x64`, `linux-arm64`, or `machine N`. */
	readonly platform: string;
	/** Names of the functions it defines for others. */
	readonly exports: ReadonlySet<string>;
	/** Libraries it needs, by name. */
	readonly needed: readonly string[];
	/** Where it wants libraries searched; empty when nowhere. */
	readonly searchPaths: readonly string[];
	/** Its tables of addresses are read-only once it is loaded. */
	readonly fullRelro: boolean;
	readonly stackExecutable: boolean;
	/** Some part is writable and executable, or its code must be changed to be loaded. */
	readonly writableCode: boolean;
}

/** The file is no whole 64-bit little-endian shared library. */
export class ElfFault extends Error {}

const ET_DYN = 3;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_GNU_STACK = 0x6474_e551;
const PT_GNU_RELRO = 0x6474_e552;
const EXECUTE = 1;
const WRITE = 2;
const DT = {
	needed: 1,
	hash: 4,
	strtab: 5,
	symtab: 6,
	strsz: 10,
	rpath: 15,
	textrel: 22,
	bindNow: 24,
	runpath: 29,
	flags: 30,
	gnuHash: 0x6fff_fef5,
	flags1: 0x6fff_fffb,
} as const;
const DF_TEXTREL = 4;
const DF_BIND_NOW = 8;
const DF_1_NOW = 1;
const SYMBOL_BYTES = 24;
const SEGMENTS_MAX = 64;
const DYNAMIC_MAX = 512;
const SYMBOLS_MAX = 65_536;
const NAME_BYTES_MAX = 512;

const platforms: ReadonlyMap<number, string> = new Map([
	[62, 'linux-x64'],
	[183, 'linux-arm64'],
]);

interface Segment {
	readonly type: number;
	readonly flags: number;
	readonly offset: number;
	readonly address: number;
	readonly fileBytes: number;
}

/** Throws ElfFault, and nothing else, whatever the bytes. */
export function readElf(bytes: Uint8Array): ElfFacts {
	return new ElfReader(bytes).read();
}

class ElfReader {
	readonly #view: DataView;
	readonly #bytes: Uint8Array;
	#segments: readonly Segment[] = [];

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	}

	read(): ElfFacts {
		this.#need(0, 64, 'header');
		if (this.#u32(0) !== 0x464c_457f || this.#bytes[4] !== 2 || this.#bytes[5] !== 1)
			throw new ElfFault('it does not begin as a 64-bit little-endian ELF file does');
		if (this.#u16(16) !== ET_DYN) throw new ElfFault('it is no shared library');
		const machine = this.#u16(18);
		this.#segments = this.#readSegments();
		this.#checkWhole();
		const dynamic = this.#readDynamic();
		const names = this.#names(dynamic);
		const flags = one(dynamic, DT.flags) ?? 0;
		const now = (one(dynamic, DT.flags1) ?? 0) & DF_1_NOW || flags & DF_BIND_NOW || dynamic.has(DT.bindNow);
		const stack = this.#segments.find(({ type }) => type === PT_GNU_STACK);
		const loads = this.#segments.filter(({ type }) => type === PT_LOAD);
		return {
			platform: platforms.get(machine) ?? `machine ${machine}`,
			exports: this.#readExports(dynamic, names),
			needed: (dynamic.get(DT.needed) ?? []).map(names),
			searchPaths: [...(dynamic.get(DT.rpath) ?? []), ...(dynamic.get(DT.runpath) ?? [])].map(names),
			fullRelro: Boolean(now) && this.#segments.some(({ type }) => type === PT_GNU_RELRO),
			stackExecutable: stack === undefined || (stack.flags & EXECUTE) !== 0,
			writableCode:
				loads.some((load) => (load.flags & EXECUTE) !== 0 && (load.flags & WRITE) !== 0) ||
				dynamic.has(DT.textrel) ||
				(flags & DF_TEXTREL) !== 0,
		};
	}

	#readSegments(): Segment[] {
		const at = this.#u64(32);
		const size = this.#u16(54);
		const count = this.#u16(56);
		if (size !== 56 || count === 0 || count > SEGMENTS_MAX) throw new ElfFault('its program headers make no sense');
		this.#need(at, count * size, 'program headers');
		return Array.from({ length: count }, (_, index) => {
			const entry = at + index * size;
			return {
				type: this.#u32(entry),
				flags: this.#u32(entry + 4),
				offset: this.#u64(entry + 8),
				address: this.#u64(entry + 16),
				fileBytes: this.#u64(entry + 32),
			};
		});
	}

	/** A library cut short still begins well: what is to be loaded, and the section headers that end the file, must be there. */
	#checkWhole(): void {
		for (const { type, offset, fileBytes } of this.#segments)
			if (type === PT_LOAD) this.#need(offset, fileBytes, 'a part to be loaded');
		const sections = this.#u64(40);
		if (sections !== 0) this.#need(sections, this.#u16(58) * this.#u16(60), 'section headers');
	}

	#readDynamic(): Map<number, number[]> {
		const segment = this.#segments.find(({ type }) => type === PT_DYNAMIC);
		if (segment === undefined) throw new ElfFault('it has no dynamic section');
		this.#need(segment.offset, segment.fileBytes, 'dynamic section');
		const found = new Map<number, number[]>();
		const count = Math.min(Math.floor(segment.fileBytes / 16), DYNAMIC_MAX);
		for (let index = 0; index < count; index++) {
			const tag = this.#u64(segment.offset + index * 16);
			if (tag === 0) break;
			const values = found.get(tag) ?? [];
			values.push(this.#u64(segment.offset + index * 16 + 8));
			found.set(tag, values);
		}
		return found;
	}

	#names(dynamic: ReadonlyMap<number, readonly number[]>): (offset: number) => string {
		const at = this.#offsetOf(one(dynamic, DT.strtab), 'string table');
		const size = one(dynamic, DT.strsz) ?? 0;
		this.#need(at, size, 'string table');
		return (offset) => {
			if (offset >= size) throw new ElfFault('a name lies beyond the string table');
			const end = this.#bytes.indexOf(0, at + offset);
			if (end < 0 || end >= at + size || end - at - offset > NAME_BYTES_MAX) throw new ElfFault('a name has no end');
			return Buffer.from(this.#bytes.subarray(at + offset, end)).toString('latin1');
		};
	}

	#readExports(dynamic: ReadonlyMap<number, readonly number[]>, names: (offset: number) => string): Set<string> {
		const at = this.#offsetOf(one(dynamic, DT.symtab), 'symbol table');
		const count = this.#symbolCount(dynamic);
		this.#need(at, count * SYMBOL_BYTES, 'symbol table');
		const found = new Set<string>();
		for (let index = 1; index < count; index++) {
			const entry = at + index * SYMBOL_BYTES;
			const info = this.#bytes[entry + 4] as number;
			const isGlobalFunction = (info & 15) === 2 && (info >>> 4 === 1 || info >>> 4 === 2);
			if (isGlobalFunction && this.#u16(entry + 6) !== 0) found.add(names(this.#u32(entry)));
		}
		return found;
	}

	/** The table itself does not say how long it is: either hash table does. */
	#symbolCount(dynamic: ReadonlyMap<number, readonly number[]>): number {
		const plain = one(dynamic, DT.hash);
		const count =
			plain === undefined
				? this.#gnuSymbolCount(this.#offsetOf(one(dynamic, DT.gnuHash), 'hash table'))
				: this.#checkedU32(this.#offsetOf(plain, 'hash table') + 4);
		if (count > SYMBOLS_MAX) throw new ElfFault(`it has more than ${SYMBOLS_MAX} symbols`);
		return count;
	}

	#gnuSymbolCount(at: number): number {
		const buckets = this.#checkedU32(at);
		const first = this.#checkedU32(at + 4);
		const bloomWords = this.#checkedU32(at + 8);
		const bucketsAt = at + 16 + bloomWords * 8;
		this.#need(bucketsAt, buckets * 4, 'hash table');
		let last = 0;
		for (let index = 0; index < buckets; index++) last = Math.max(last, this.#u32(bucketsAt + index * 4));
		if (last < first) return first;
		const chainAt = bucketsAt + buckets * 4;
		while ((this.#checkedU32(chainAt + (last - first) * 4) & 1) === 0) last++;
		return last + 1;
	}

	/** Place in the file of an address once loaded. */
	#offsetOf(address: number | undefined, what: string): number {
		if (address === undefined) throw new ElfFault(`it has no ${what}`);
		for (const { type, address: from, fileBytes, offset } of this.#segments)
			if (type === PT_LOAD && address >= from && address < from + fileBytes) return offset + (address - from);
		throw new ElfFault(`its ${what} lies outside of what is loaded`);
	}

	#need(at: number, length: number, what: string): void {
		if (at + length > this.#bytes.length) throw new ElfFault(`it ends before its ${what} does`);
	}

	#checkedU32(at: number): number {
		this.#need(at, 4, 'hash table');
		return this.#u32(at);
	}

	#u16(at: number): number {
		return this.#view.getUint16(at, true);
	}

	#u32(at: number): number {
		return this.#view.getUint32(at, true);
	}

	/** Values beyond 2^53 are beyond any file. */
	#u64(at: number): number {
		return Number(this.#view.getBigUint64(at, true));
	}
}

function one(dynamic: ReadonlyMap<number, readonly number[]>, tag: number): number | undefined {
	return dynamic.get(tag)?.[0];
}
