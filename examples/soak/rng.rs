//! Reproducible random numbers, from a seed.
//!
//! Owns [`Rng`]. Never uses randomness of the system.

/// The same numbers for the same seed, with the locked version of `fastrand`.
#[derive(Debug, Clone)]
pub(crate) struct Rng(fastrand::Rng);

impl Rng {
    /// A separate sequence for each `tag`.
    pub(crate) fn new(seed: u64, tag: u64) -> Rng {
        let seed = seed ^ tag.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Rng(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number from 0 to `end`, exclusive.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end)
    }

    /// A number from `least` to `most`, inclusive.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Fills it with random bytes.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
