// Owns the classes of message sizes that collectives are reported by (`bucket_id`): a few dozen, whatever sizes a job uses.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
const LARGEST_POWER = 49;

/** The power of two at or below a size, `64KiB` for 100,000 bytes; `0B` for none. At most 51 classes. */
export function sizeClass(bytes: number): string {
	if (!(bytes >= 1)) return '0B';
	const power = Math.min(LARGEST_POWER, Math.floor(Math.log2(bytes)));
	return `${2 ** (power % 10)}${units[Math.floor(power / 10)]}`;
}
