//! Seeded words: the same in every run.

/// SplitMix64.
pub(crate) struct Words(u64);

impl Words {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Weights over the whole range.
pub(crate) fn weights(seed: u64, count: usize) -> Vec<i16> {
    let mut words = Words::new(seed);
    (0..count).map(|_| words.next() as i16).collect()
}
