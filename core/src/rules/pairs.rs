//! Shapes of partitions, as lists of ordered pairs.
//!
//! Owns the functions that make pairs of names. Never knows a rule: the pairs are data, to make rules of.

use crate::rules::chance::Stream;

/// An ordered pair of hosts: who sends, and who receives.
pub type Pair = (String, String);

fn pair(from: &str, to: &str) -> Pair {
    (from.to_owned(), to.to_owned())
}

/// All pairs from one group to the other. Nobody is cut from itself.
pub fn one_way(from: &[&str], to: &[&str]) -> Vec<Pair> {
    let pairs = from
        .iter()
        .flat_map(|from| to.iter().map(|to| (*from, *to)));
    pairs
        .filter(|(from, to)| from != to)
        .map(|(from, to)| pair(from, to))
        .collect()
}

/// All pairs between the groups, both ways.
pub fn halves(one: &[&str], other: &[&str]) -> Vec<Pair> {
    [one_way(one, other), one_way(other, one)].concat()
}

/// All pairs between `host` and the others, both ways.
pub fn isolate(host: &str, all: &[&str]) -> Vec<Pair> {
    let others: Vec<_> = all.iter().copied().filter(|other| *other != host).collect();
    halves(&[host], &others)
}

/// Splits off the smaller part, rounded down: of five hosts, two that the seed picks.
pub fn minority(all: &[&str], seed: u64) -> Vec<Pair> {
    let shuffled = shuffled(all, seed);
    let (few, many) = shuffled.split_at(all.len().saturating_sub(1) / 2);
    halves(few, many)
}

/// Each host reaches a majority, but no two the same one: every host hears itself and its
/// nearest neighbours in a ring, which the seed shuffles. For at least five hosts; fewer are left whole.
pub fn majorities_ring(all: &[&str], seed: u64) -> Vec<Pair> {
    let (ring, count) = (shuffled(all, seed), all.len());
    // A majority without itself, half of it on each side.
    let reach = (count / 2).div_ceil(2);
    let far = |a: usize, b: usize| a.abs_diff(b).min(count - a.abs_diff(b)) > reach;
    let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
    let cut = pairs.filter(|(a, b)| far(*a, *b));
    cut.map(|(a, b)| pair(ring[a], ring[b])).collect()
}

/// Two halves that do not reach each other, and one host in the middle that both reach: the first
/// of `all`.
pub fn bridge(all: &[&str]) -> Vec<Pair> {
    let Some((_, sides)) = all.split_first() else {
        return Vec::new();
    };
    let (one, other) = sides.split_at(sides.len() / 2);
    halves(one, other)
}

/// The names in an order that depends on the seed only.
pub(crate) fn shuffled<'a>(all: &[&'a str], seed: u64) -> Vec<&'a str> {
    let mut names = all.to_vec();
    names.sort_unstable();
    names.dedup();
    names.sort_by_cached_key(|name| Stream::new(seed, "shuffle", name, "").number(0, 0));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn written(pairs: &[Pair]) -> Vec<String> {
        pairs
            .iter()
            .map(|(from, to)| format!("{from}{to}"))
            .collect()
    }

    #[test]
    fn shapes_are_lists_of_pairs() {
        assert_eq!(
            written(&one_way(&["a", "b"], &["b", "c"])),
            ["ab", "ac", "bc"]
        );
        assert_eq!(written(&halves(&["a"], &["b"])), ["ab", "ba"]);
        assert_eq!(
            written(&isolate("a", &["a", "b", "c"])),
            ["ab", "ac", "ba", "ca"]
        );
        assert_eq!(written(&bridge(&["x", "a", "b"])), ["ab", "ba"]);
        assert!(bridge(&[]).is_empty());
    }

    #[test]
    fn a_minority_is_less_than_half_and_depends_on_the_seed_only() {
        for count in 1..=5 {
            let pairs = minority(&FIVE[..count], 7);
            let few = (count - 1) / 2;
            assert_eq!(pairs.len(), 2 * few * (count - few));
        }
        assert_eq!(minority(&FIVE, 7), minority(&["e", "d", "c", "b", "a"], 7));
        assert!((0..20).any(|seed| minority(&FIVE, seed) != minority(&FIVE, 7)));
    }

    #[test]
    fn in_a_ring_each_host_reaches_a_majority_of_its_own() {
        for count in [5, 6, 7, 9] {
            let all: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let cut = majorities_ring(&all, 7);
            let reached = |host: &str| -> Vec<&str> {
                let cut_off = |to: &str| cut.contains(&pair(host, to));
                all.iter().copied().filter(|to| !cut_off(to)).collect()
            };
            let majorities: Vec<_> = all.iter().map(|host| reached(host)).collect();
            for (at, majority) in majorities.iter().enumerate() {
                assert!(
                    majority.len() > count / 2 && majority.len() < count,
                    "{count}: {majority:?}"
                );
                assert!(!majorities[..at].contains(majority));
            }
        }
    }
}
