//! What became of dials, counted: each is counted once, whatever became of it.
//!
//! Owns the counts of dials that went out; those of what came in are in `limits.rs`.

use tokio_test::{assert_pending, task};
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::{Cause, SubNetwork};

/// The outcomes that there were, and how often.
fn counted(subnet: &SubNetwork) -> Vec<(&'static str, u64)> {
    let counts = subnet.dials().by_name();
    counts.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn every_dial_is_counted_by_its_outcome() {
    let subnet = PipeNetwork::new("pipet").unwrap().subnetwork();
    let (alpha, beta) = tokio::join!(subnet.new_host("α"), subnet.new_host("β"));
    let (alpha, beta) = (alpha.unwrap(), beta.unwrap());
    let listener = alpha.listen("").unwrap();
    assert_eq!(counted(&subnet), []);

    for _ in 0..3 {
        let (dialed, accepted) = tokio::join!(beta.dial("α:1"), listener.accept());
        drop((dialed.unwrap(), accepted.unwrap()));
    }
    beta.dial("α:9").await.unwrap_err();
    beta.dial("γ:1").await.unwrap_err();
    beta.dial("γ").await.unwrap_err();
    let mut waiting = task::spawn(beta.dial("α:1"));
    assert_pending!(waiting.poll());
    // What is under way has no outcome yet, and what was never polled was never made.
    drop(beta.dial("α:1"));
    assert_eq!(subnet.dials().cancelled, 0);
    drop(waiting);
    beta.close();
    beta.dial("α:1").await.unwrap_err();

    let expected = [
        ("connected", 3),
        ("cancelled", 1),
        ("host_down", 1),
        ("connection_refused", 1),
        ("no_such_host", 1),
        ("invalid_addr", 1),
    ];
    assert_eq!(counted(&subnet), expected);
    assert_eq!(subnet.dials().failed(Cause::HostDown), 1);
    subnet.close().await.unwrap();
}
