//! Randomness that can be had again: numbers from a seed.
//!
//! Owns [`Rng`]. Never asks the system for anything.

/// The same numbers for the same seed, with the version of `fastrand` that is locked.
#[derive(Debug, Clone)]
pub(crate) struct Rng(fastrand::Rng);

impl Rng {
    /// Numbers of their own for everybody who has another `tag`.
    pub(crate) fn new(seed: u64, tag: u64) -> Rng {
        let seed = seed ^ tag.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Rng(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// From 0, less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end)
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Fills it with what comes next.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
