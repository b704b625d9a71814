//! Tests of the plan of faults that a network shares: who enforces what, by when.
//!
//! Owns what they have in common. Never looks at the shape of traffic: other tests do.

mod ending;
mod following;
mod joining;
mod net;
mod setting;
mod vanishing;

use std::time::Duration;

use tokio::time::{sleep, timeout};
use virtnet_core::faults::Status;

const SOON: Duration = Duration::from_millis(300);
const BOUND: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, wait).await.expect("it never came true");
}

fn rules(status: &Status) -> Vec<String> {
    status
        .rules
        .iter()
        .map(|rule| rule.rule.to_string())
        .collect()
}
