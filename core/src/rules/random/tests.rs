//! What a seed decides: the same steps everywhere, within the options.
//!
//! Owns these properties. Never sets a plan.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Kinds of the steps, by the first words of their rules.
fn words(steps: &[Step]) -> HashSet<String> {
    let rules = steps.iter().flat_map(|step| step.plan.rules());
    let words = rules.map(|rule| rule.to_string().split(' ').next().unwrap().to_owned());
    words.collect()
}

/// A change here makes old seeds useless.
#[test]
fn a_seed_has_these_steps() {
    let options = RandomOptions::new().faults(3);
    let steps = random_plan(7, &["α", "β", "γ"], &options);
    let steps: Vec<_> = steps.iter().map(Step::to_string).collect();
    let expected = [
        "after 340ms: hold β -> γ, hold γ -> β",
        "after 1.6s: nothing",
        "after 2s: lose β -> γ 9%",
        "after 1.66s: nothing",
        "after 500ms: reset α -> β",
        "after 860ms: nothing",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn runs_differ_in_kind() {
    let options = RandomOptions::new().faults(50);
    let runs: Vec<_> = (0..100)
        .map(|seed| words(&random_plan(seed, &FIVE, &options)))
        .collect();
    let all: HashSet<_> = runs.iter().flatten().cloned().collect();
    assert_eq!(all.len(), Kind::ALL.len(), "{all:?}");
    for word in &all {
        let with = runs.iter().filter(|run| run.contains(word)).count();
        assert!((30..=70).contains(&with), "{word} in {with} of 100");
    }
}

#[test]
fn what_makes_no_fault() {
    assert!(random_plan(7, &["a"], &RandomOptions::new()).is_empty());
    assert!(random_plan(7, &["a", "a"], &RandomOptions::new()).is_empty());
    assert!(random_plan(7, &FIVE, &RandomOptions::new().kinds(&[])).is_empty());
    assert!(random_plan(7, &FIVE, &RandomOptions::new().faults(0)).is_empty());
}

proptest! {
    #[test]
    fn steps_heal_in_reverse_order(
        seed: u64,
        count in 2..9_usize,
        faults in 0..30_usize,
        kinds in proptest::sample::subsequence(Kind::ALL.to_vec(), 1..10),
    ) {
        let names: Vec<_> = (0..count).map(|number| format!("h{number}")).collect();
        let hosts: Vec<_> = names.iter().map(String::as_str).collect();
        let options = RandomOptions::new().kinds(&kinds).faults(faults);
        let steps = random_plan(seed, &hosts, &options);
        prop_assert_eq!(steps.len(), 2 * faults);
        let reversed: Vec<_> = hosts.iter().rev().copied().collect();
        prop_assert_eq!(&random_plan(seed, &reversed, &options), &steps);
        // A step either adds rules at the end or takes the last ones away.
        let mut stack: Vec<usize> = Vec::new();
        let mut before: &[Rule] = &[];
        for step in &steps {
            let now = step.plan.rules();
            prop_assert!(step.after >= PAUSE / 10 && step.after <= PAUSE);
            prop_assert!(now.len() != before.len());
            if now.len() > before.len() {
                prop_assert_eq!(&now[..before.len()], before);
                stack.push(before.len());
            } else {
                prop_assert_eq!(Some(now.len()), stack.pop());
                prop_assert_eq!(now, &before[..now.len()]);
            }
            prop_assert!(stack.len() <= 3);
            prop_assert!(step.plan.check().is_ok());
            // What is printed can be read back.
            prop_assert_eq!(step.plan.to_string().parse::<Plan>(), Ok(step.plan.clone()));
            for rule in now {
                prop_assert!(hosts.contains(&rule.from()) && hosts.contains(&rule.to()));
                prop_assert!(rule.from() != rule.to());
            }
            before = now;
        }
        prop_assert!(before.is_empty());
    }
}
