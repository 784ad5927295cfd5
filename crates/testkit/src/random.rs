use std::sync::atomic::{AtomicU64, Ordering};

use assay_primitives::{Digest, Randomness, RandomnessError};

/// Randomness that anyone can guess: the same seed gives the same bytes, in the order of asking.
#[derive(Debug)]
pub struct SeededRandomness {
    seed: u64,
    next: AtomicU64,
}

impl SeededRandomness {
    /// Begins the bytes of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        for chunk in bytes.chunks_mut(32) {
            let block = self.next.fetch_add(1, Ordering::SeqCst);
            let random = Digest::of_parts(&[&self.seed.to_be_bytes(), &block.to_be_bytes()]);
            for (to, from) in chunk.iter_mut().zip(random.as_bytes()) {
                *to = *from;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(randomness: &SeededRandomness) -> [u8; 40] {
        let randomness: &dyn Randomness = randomness;
        randomness.array().expect("seeded randomness does not fail")
    }

    #[test]
    fn a_seed_gives_the_same_bytes_and_never_twice_the_same() {
        let (a, b) = (SeededRandomness::new(1), SeededRandomness::new(1));
        let first = bytes(&a);
        assert_eq!(first, bytes(&b));
        assert_ne!(first, bytes(&a));
        assert_ne!(first, bytes(&SeededRandomness::new(2)));
    }
}
