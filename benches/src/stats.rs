//! Medians, percentiles, and the rows that a run ends in.
//!
//! Owns the arithmetic. Never prints and never measures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the rounds of one number of one contender came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub work: String,
    pub contender: String,
    pub unit: String,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// The value of each round.
    #[serde(default)]
    pub rounds: Vec<f64>,
}

/// The value below which a share of `values` lies; they are sorted by it.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

impl Row {
    pub fn of(work: &str, contender: &str, unit: &str, values: &[f64]) -> Row {
        Row {
            work: work.to_owned(),
            contender: contender.to_owned(),
            unit: unit.to_owned(),
            median: median(values),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            rounds: values.to_vec(),
        }
    }

    /// How many times the other it is: the median over the rounds of the ratio
    /// within a round, since what happens to the machine happens to both. Where
    /// a round is missing, the ratio of the medians.
    pub fn ratio(&self, other: &Row) -> f64 {
        if self.rounds.is_empty() || self.rounds.len() != other.rounds.len() {
            return self.median / other.median;
        }
        let both = self.rounds.iter().zip(&other.rounds);
        median(&both.map(|(one, other)| one / other).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_within_rounds() {
        let row = |rounds: &[f64]| Row::of("bulk", "virtnet", "MB/s", rounds);
        let (fast, slow) = (row(&[2.0, 8.0, 30.0]), row(&[1.0, 4.0, 10.0]));
        assert_eq!(fast.ratio(&slow), 2.0);
        assert_eq!(fast.ratio(&row(&[1.0, 4.0])), 3.2);
    }

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let mut values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), 50.0);
        assert_eq!(percentile(&mut values, 0.99), 99.0);
        assert_eq!(percentile(&mut [7.0], 0.99), 7.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
