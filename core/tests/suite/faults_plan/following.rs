//! Steps of plans, one after the other.
//!
//! Owns what is in force between them, on a paused clock. Never decides about traffic.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use virtnet_core::faults::{FaultError, Plan, Rule, Step};

use super::net::Net;
use super::{rules, until};

const SECOND: Duration = Duration::from_secs(1);

fn step(lines: &[&str]) -> Step {
    let rules = lines.iter().map(|line| line.parse::<Rule>().unwrap());
    Step {
        after: SECOND,
        plan: rules.collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_is_in_force_after_its_pause() {
    let net = Net::default();
    let here = net.member(&["α", "β"]).await;
    let steps = [
        step(&["cut α -> β"]),
        // What stays is not set again.
        step(&["cut α -> β", "refuse β -> α", "refuse α -> β"]),
        step(&["cut α -> β"]),
        // Not in reverse order.
        step(&["refuse β -> α"]),
        step(&["refuse β -> α"]),
        step(&[]),
    ];
    let faults = here.subnet.faults();
    let start = Instant::now();
    let looking = async {
        let (mut now, mut seen) = (start + SECOND / 2, Vec::new());
        for _ in 0..=steps.len() {
            sleep_until(now).await;
            let status = faults.status().await.unwrap();
            let parts: Vec<_> = status
                .rules
                .iter()
                .map(|rule| rule.holder.clone())
                .collect();
            seen.push((rules(&status), parts));
            now += SECOND;
        }
        seen
    };
    let (followed, seen) = tokio::join!(faults.follow(&steps), looking);
    followed.unwrap();
    let expected = steps.iter().map(|step| {
        let rules = step.plan.rules().iter();
        rules.map(Rule::to_string).collect::<Vec<_>>()
    });
    let expected: Vec<_> = std::iter::once(Vec::new()).chain(expected).collect();
    let shown: Vec<_> = seen.iter().map(|(rules, _)| rules.clone()).collect();
    assert_eq!(shown, expected);
    // The cut was one part from its first step to its last.
    assert_eq!(seen[1].1[0], seen[2].1[0]);
    assert_eq!(seen[1].1[0], seen[3].1[0]);
    assert_eq!(seen[4].1, seen[5].1);
}

/// A future that is dropped, a plan that cannot be set, and a last step that is no healing: nothing stays.
#[tokio::test(start_paused = true)]
async fn what_steps_have_set_is_healed() {
    let net = Net::default();
    let here = net.member(&["α", "β"]).await;
    let faults = here.subnet.faults();
    let nothing = async || faults.status().await.unwrap().rules.is_empty();
    let long = [step(&["cut α -> β"]), step(&["hold α -> β"])];
    let dropped = timeout(SECOND * 3 / 2, faults.follow(&long)).await;
    assert!(dropped.is_err());
    until(nothing).await;
    faults.follow(&long).await.unwrap();
    until(nothing).await;
    // Pipes have no datagrams.
    let refused = [step(&["cut α -> β"]), step(&["lose α -> β 10%"])];
    let err = faults.follow(&refused).await.unwrap_err();
    assert!(matches!(err, FaultError::Refused(_)), "{err}");
    until(nothing).await;
    let none: [Step; 0] = [];
    faults.follow(&none).await.unwrap();
    assert_eq!(Plan::new(), step(&[]).plan);
}
