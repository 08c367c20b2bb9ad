//! The state block: what a strategy remembers, as 32-bit slots. Reading beyond it gives 0; writing beyond it does nothing.

/// What rank and admit see.
#[derive(Clone, Copy)]
pub struct StateView<'a> {
    /// 0 until the first block was written.
    pub epoch: u32,
    pub slots: &'a [u32],
}

impl StateView<'_> {
    #[inline]
    pub fn u32(&self, slot: usize) -> u32 {
        self.slots.get(slot).copied().unwrap_or(0)
    }

    #[inline]
    pub fn f32(&self, slot: usize) -> f32 {
        f32::from_bits(self.u32(slot))
    }
}

/// What observe and tick read and write.
pub struct State<'a> {
    /// 0 until the first block was written.
    pub epoch: u32,
    pub slots: &'a mut [u32],
}

impl State<'_> {
    #[inline]
    pub fn u32(&self, slot: usize) -> u32 {
        self.slots.get(slot).copied().unwrap_or(0)
    }

    #[inline]
    pub fn f32(&self, slot: usize) -> f32 {
        f32::from_bits(self.u32(slot))
    }

    #[inline]
    pub fn put_u32(&mut self, slot: usize, value: u32) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = value;
        }
    }

    #[inline]
    pub fn put_f32(&mut self, slot: usize, value: f32) {
        self.put_u32(slot, value.to_bits());
    }
}
