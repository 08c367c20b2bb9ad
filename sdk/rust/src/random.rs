//! Random numbers and hashes. Random numbers come from the request's seed and nothing else, so a replayed decision draws the same.

/// A bijective scrambling of 32 bits (the finaliser of MurmurHash3).
#[inline]
pub fn mix32(value: u32) -> u32 {
    let mut value = value;
    value ^= value >> 16;
    value = value.wrapping_mul(0x85eb_ca6b);
    value ^= value >> 13;
    value = value.wrapping_mul(0xc2b2_ae35);
    value ^ value >> 16
}

/// The random numbers of one decision.
#[derive(Clone, Copy)]
pub struct Random {
    seed: u64,
    draws: u32,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { seed, draws: 0 }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.draws = self.draws.wrapping_add(1);
        let low = self.seed as u32 ^ self.draws.wrapping_mul(0x9e37_79b9);
        mix32(mix32(low) ^ (self.seed >> 32) as u32)
    }

    /// Uniform in 0 … limit − 1.
    #[inline]
    pub fn below(&mut self, limit: u32) -> u32 {
        (u64::from(self.next_u32()) * u64::from(limit) >> 32) as u32
    }

    /// Uniform in [0, 1), 24 bits.
    #[inline]
    pub fn float(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * 5.960_464_5e-8
    }
}

/// xxHash32 of the eight bytes of `key`.
pub fn hash64(key: u64, seed: u32) -> u32 {
    let round = |hash: u32, lane: u32| {
        hash.wrapping_add(lane.wrapping_mul(3_266_489_917)).rotate_left(17).wrapping_mul(668_265_263)
    };
    let mut hash = seed.wrapping_add(374_761_393).wrapping_add(8);
    hash = round(hash, key as u32);
    hash = round(hash, (key >> 32) as u32);
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(2_246_822_519);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(3_266_489_917);
    hash ^ hash >> 16
}

/// Weight of a row for a key, for rendezvous hashing: rank the eligible rows by it, highest first, and every router agrees. Give a row by its `target`
/// id, not its number, because rows are reused.
#[inline]
pub fn rendezvous(key: u64, target: u32) -> u32 {
    hash64(key, target)
}
