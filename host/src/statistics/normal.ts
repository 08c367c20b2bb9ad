// Owns the draw from the normal distribution.
import type { Random } from '@infermesh/proto';

/** A draw with mean 0 and variance 1 (Box and Muller, 1958); takes two numbers from `random`. */
export function standardNormal(random: Random): number {
	const radius = Math.sqrt(-2 * Math.log(1 - random.nextFloat()));
	return radius * Math.cos(2 * Math.PI * random.nextFloat());
}
