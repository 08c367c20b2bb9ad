// Owns a point of the Vivaldi space: its arithmetic, its validity, its bytes. Components are seconds, as Serf has them; 8 dimensions, a height for the
// access link (Dabek et al. 2004, §5.4) and an adjustment for what no embedding can express (Ledlie et al. 2007).

export const DIMENSIONS = 8;
/** Round trips beyond this are no network's; coordinates beyond it are refused. */
export const RTT_MAX_S = 10;
export const ERROR_MAX = 1.5;
export const HEIGHT_MIN_S = 10e-6;

export interface Coordinate {
	/** DIMENSIONS components, seconds. */
	readonly vector: readonly number[];
	/** Confidence, 0 = certain, ERROR_MAX = none. */
	readonly error: number;
	readonly adjustmentS: number;
	readonly heightS: number;
}

export const origin: Coordinate = {
	vector: Object.freeze(Array.from({ length: DIMENSIONS }, () => 0)),
	error: ERROR_MAX,
	adjustmentS: 0,
	heightS: HEIGHT_MIN_S,
};

/** Whether every component is finite and within what a network can have: what is not must never spread (one NaN once infected a whole fleet). */
export function isValid({ vector, error, adjustmentS, heightS }: Coordinate): boolean {
	if (vector.length !== DIMENSIONS) return false;
	for (const component of vector) if (!(Math.abs(component) <= RTT_MAX_S)) return false;
	return error >= 0 && error <= ERROR_MAX && Math.abs(adjustmentS) <= RTT_MAX_S && heightS >= 0 && heightS <= RTT_MAX_S;
}

export function magnitude(vector: readonly number[]): number {
	let sum = 0;
	for (const component of vector) sum += component * component;
	return Math.sqrt(sum);
}

export function difference(a: readonly number[], b: readonly number[]): number[] {
	return a.map((component, i) => component - (b[i] as number));
}

/** Distance without adjustments, seconds. */
export function rawDistanceS(a: Coordinate, b: Coordinate): number {
	return magnitude(difference(a.vector, b.vector)) + a.heightS + b.heightS;
}

/** Estimated round trip, seconds. Adjustments count only while the sum stays positive. */
export function distanceS(a: Coordinate, b: Coordinate): number {
	const raw = rawDistanceS(a, b);
	const adjusted = raw + a.adjustmentS + b.adjustmentS;
	return adjusted > 0 ? adjusted : raw;
}

/** Version byte, then 11 floats of 32 bits: what rides on a probe's reply. */
export const COORDINATE_BYTES = 1 + 4 * (DIMENSIONS + 3);
const VERSION = 1;

export function encodeCoordinate({ vector, error, adjustmentS, heightS }: Coordinate): Uint8Array {
	const bytes = new Uint8Array(COORDINATE_BYTES);
	const view = new DataView(bytes.buffer);
	bytes[0] = VERSION;
	for (const [i, value] of [...vector, error, adjustmentS, heightS].entries()) view.setFloat32(1 + 4 * i, value, true);
	return bytes;
}

/** Undefined when the bytes are of another version, cut short, or no valid coordinate. */
export function decodeCoordinate(bytes: Uint8Array): Coordinate | undefined {
	if (bytes.length !== COORDINATE_BYTES || bytes[0] !== VERSION) return undefined;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const at = (i: number): number => view.getFloat32(1 + 4 * i, true);
	const coordinate: Coordinate = {
		vector: Array.from({ length: DIMENSIONS }, (_, i) => at(i)),
		error: at(DIMENSIONS),
		adjustmentS: at(DIMENSIONS + 1),
		heightS: at(DIMENSIONS + 2),
	};
	return isValid(coordinate) ? coordinate : undefined;
}
