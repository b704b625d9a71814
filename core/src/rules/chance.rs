//! Seeded decisions: random numbers without a generator.
//!
//! Owns the function that makes a number of a seed and of what is decided. Never keeps a state, so
//! no decision depends on another one, on scheduling, or on other hosts.

/// The random stream of one rule for one ordered pair of hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream(u64);

impl Stream {
    /// Of the plan's seed, the rule's text and the pair.
    pub(crate) fn new(seed: u64, rule: &str, from: &str, to: &str) -> Stream {
        let mut state = mix(seed);
        for part in [rule, from, to] {
            for chunk in part.as_bytes().chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                state = mix(state ^ u64::from_le_bytes(word));
            }
            state = mix(state ^ part.len() as u64);
        }
        Stream(state)
    }

    /// A uniform number for the `nth` decision of the kind `what`.
    pub(crate) fn number(self, what: u64, nth: u64) -> u64 {
        mix(mix(self.0 ^ what) ^ nth)
    }
}

/// A step of SplitMix64 (Steele, Lea, Flood, 2014, "Fast splittable pseudorandom number
/// generators"): each bit of the input changes half of the output's.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The number as a part of 1: 0 ≤ part < 1.
pub(crate) fn part(number: u64) -> f64 {
    // The 53 bits that a float can hold.
    (number >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::Chance;

    #[test]
    fn a_chance_of_a_tenth_hits_a_tenth() {
        let stream = Stream::new(7, "lose α -> β 10%", "α", "β");
        let chance = Chance::new(0.1);
        let hits = (0..100_000)
            .filter(|n| chance.hits(stream.number(0, *n)))
            .count();
        assert!((9_000..=11_000).contains(&hits), "{hits}");
        let (never, always) = (Chance::new(0.0), Chance::new(1.0));
        assert!((0..1_000).all(|n| !never.hits(stream.number(0, n))));
        assert!((0..1_000).all(|n| always.hits(stream.number(0, n))));
        assert!(always.hits(u64::MAX) && !never.hits(0));
    }

    #[test]
    fn each_seed_rule_and_pair_has_a_stream_of_its_own() {
        let first = Stream::new(7, "rule", "α", "β").number(0, 0);
        assert_eq!(first, Stream::new(7, "rule", "α", "β").number(0, 0));
        for other in [
            Stream::new(8, "rule", "α", "β"),
            Stream::new(7, "rule2", "α", "β"),
            Stream::new(7, "rule", "β", "α"),
            Stream::new(7, "rule", "αβ", ""),
        ] {
            assert_ne!(first, other.number(0, 0));
        }
        assert_ne!(first, Stream::new(7, "rule", "α", "β").number(1, 0));
        assert_ne!(first, Stream::new(7, "rule", "α", "β").number(0, 1));
    }

    #[test]
    fn a_part_is_below_one() {
        assert_eq!(part(0), 0.0);
        assert!(part(u64::MAX) < 1.0);
    }
}
