// Owns what is known of the profiles of MIG: how much of a device each has, and which one a slice has whose source names none. Sources: NVIDIA's MIG user guide,
// "Supported MIG Profiles", and the multiprocessors that `nvidia-smi mig -lgip` lists: of H100 PCIe under driver 570.169, of B200 in NVIDIA/mig-parted#166 and #187.

/** Multiprocessors of a GPU instance, and its compute slices. */
type Sizes = ReadonlyMap<number, number>;

interface Family {
	readonly product: RegExp;
	readonly sizes: Sizes;
	/** GB in the names of its profiles, by MiB of the whole device, roughly. */
	readonly names: readonly (readonly [mib: number, gb: number])[];
}

const families: readonly Family[] = [
	{
		product: /\bA100\b/,
		sizes: new Map([
			[14, 1],
			[28, 2],
			[42, 3],
			[56, 4],
			[98, 7],
		]),
		names: [
			[40_960, 40],
			[81_920, 80],
		],
	},
	{
		product: /\bA30\b/,
		sizes: new Map([
			[14, 1],
			[28, 2],
			[56, 4],
		]),
		names: [[24_576, 24]],
	},
	// Before its namesake, which has more multiprocessors.
	{
		product: /\bH100 PCIe\b/i,
		sizes: new Map([
			[14, 1],
			[30, 2],
			[46, 3],
			[62, 4],
			[114, 7],
		]),
		names: [[81_559, 80]],
	},
	// Of its profiles with more slices no listing is at hand: they are told by their names alone.
	{
		product: /\bB200\b/,
		sizes: new Map([
			[18, 1],
			[30, 1],
			[36, 2],
		]),
		names: [[183_359, 180]],
	},
	{
		product: /\b(H100|H200|GH200)\b/,
		// The profile of one slice with two of memory has more multiprocessors than the plain one.
		sizes: new Map([
			[16, 1],
			[26, 1],
			[32, 2],
			[60, 3],
			[64, 4],
			[132, 7],
		]),
		names: [
			[81_559, 80],
			[143_771, 141],
		],
	},
];

/** Compute slices a device can be cut into. */
function slicesOf(product: string): number {
	return /\bA30\b/.test(product) ? 4 : 7;
}

/** Share of the device that a profile such as `1g.10gb` or `3g.40gb+me` has; `undefined` where the name tells none. */
export function shareOfProfile(profile: string, product: string): number | undefined {
	const slices = /^(?:\d+c\.)?(\d+)g\./.exec(profile)?.[1];
	return slices === undefined ? undefined : Math.min(1, Number(slices) / slicesOf(product));
}

/** A slice as a source without profiles describes it. */
export interface SliceSize {
	readonly product: string;
	/** Of all its compute instances. */
	readonly multiprocessors: number | undefined;
	readonly vramMib: number | undefined;
	/** Of the whole device. */
	readonly deviceVramMib: number | undefined;
}

export interface SliceProfile {
	/** Share of the device's compute. */
	readonly shareRatio: number;
	/** `1g.20gb`; undefined where the sizes do not tell what NVIDIA calls it. */
	readonly name: string | undefined;
}

const MEMORY_SLICES = 8;
/** How far a device's memory may be from what is known of its kind. */
const MEMORY_TOLERANCE = 0.02;

/**
 * The profile of a slice by its multiprocessors and memory; undefined where they tell none. Memory alone would not do: `1g.20gb` has a quarter of the memory
 * and a seventh of the compute, and `3g` and `4g` have the same half.
 */
export function profileOfSlice({
	product,
	multiprocessors,
	vramMib,
	deviceVramMib,
}: SliceSize): SliceProfile | undefined {
	const family = families.find((one) => one.product.test(product));
	const slices = multiprocessors === undefined ? undefined : family?.sizes.get(multiprocessors);
	if (family === undefined || slices === undefined) return undefined;
	const shareRatio = slices / slicesOf(product);
	if (vramMib === undefined || deviceVramMib === undefined || deviceVramMib <= 0)
		return { shareRatio, name: undefined };
	const near = ([mib]: readonly [mib: number, gb: number]): boolean =>
		Math.abs(deviceVramMib - mib) <= mib * MEMORY_TOLERANCE;
	const gb = family.names.find(near)?.[1];
	const parts = Math.round((MEMORY_SLICES * vramMib) / deviceVramMib);
	const name = gb === undefined ? undefined : `${slices}g.${Math.round((gb * parts) / MEMORY_SLICES)}gb`;
	return { shareRatio, name };
}
