// Owns random numbers and hashes. Random numbers come from the request's seed and nothing else, so a replayed decision draws the same.
import { nextDraw, request } from './frame';

/** A bijective scrambling of 32 bits (the finaliser of MurmurHash3). */
@inline
export function mix32(value: u32): u32 {
	value ^= value >> 16;
	value *= 0x85ebca6b;
	value ^= value >> 13;
	value *= 0xc2b2ae35;
	return value ^ (value >> 16);
}

/** The next random 32 bits of this decision. */
export function random32(): u32 {
	const seed = request().seed;
	return mix32(mix32((<u32>seed) ^ (nextDraw() * 0x9e3779b9)) ^ (<u32>(seed >> 32)));
}

/** Uniform in 0 … limit − 1. */
@inline
export function randomBelow(limit: u32): u32 {
	return <u32>(((<u64>random32()) * limit) >> 32);
}

/** Uniform in [0, 1), 24 bits. */
@inline
export function randomFloat(): f32 {
	return <f32>(random32() >> 8) * <f32>5.9604644775390625e-8;
}

/** xxHash32 of the eight bytes of `key`. */
export function hash64(key: u64, seed: u32 = 0): u32 {
	let hash: u32 = seed + 374761393 + 8;
	hash = rotl<u32>(hash + (<u32>key) * 3266489917, 17) * 668265263;
	hash = rotl<u32>(hash + (<u32>(key >> 32)) * 3266489917, 17) * 668265263;
	hash ^= hash >> 15;
	hash *= 2246822519;
	hash ^= hash >> 13;
	hash *= 3266489917;
	return hash ^ (hash >> 16);
}

/**
 * Weight of a row for a key, for rendezvous hashing: rank the eligible rows by it, highest first, and every router agrees. Give a
 * row by its `target` id, not its number, because rows are reused.
 */
@inline
export function rendezvous(key: u64, target: u32): u32 {
	return hash64(key, target);
}
