//! Counts for a recorder of the crate `metrics` 0.24, by the feature `metrics-0_24`.
//!
//! Owns their names. Never counts anything itself, and never runs unless it is called.

use ::metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::SubNetwork;
use crate::quic::Counters;

/// Describes the counts to the recorder. Call it once the recorder is installed.
pub fn describe() {
    describe_gauge!("virtnet_open", "What is open now, by kind");
    describe_counter!("virtnet_dials_total", "Dials made, by outcome");
    describe_counter!("virtnet_refused_total", "Dials refused, by reason");
    describe_counter!(
        "virtnet_faults_total",
        "What rules of faults did to dials and connections, by effect"
    );
    describe_counter!(
        "virtnet_quic_refused_total",
        "What the engine refused, by reason"
    );
}

/// Gives the current counts of a subnetwork to the recorder, and those of its engine if
/// there are `counters`.
///
/// The label `network` tells networks apart. If this process has several subnetworks of one
/// network, record only one of them.
///
/// Call it whenever the counts are wanted: on each scrape, or at intervals. Between calls it
/// costs nothing. Without a recorder it does nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counters = virtnet::quic::Counters::default();
/// let counted = counters.clone();
/// let config = virtnet::testing::config()?;
/// let net = config.tune(move |quic| quic.counters(counted.clone())).open().await?;
/// virtnet::metrics::describe();
/// virtnet::metrics::record(&net, Some(&counters));
/// # net.close().await?; Ok(()) }
/// ```
pub fn record(subnet: &SubNetwork, counters: Option<&Counters>) {
    let network = subnet.network();
    let counted = subnet.stats();
    let open = counted.open;
    for (kind, count) in [
        ("hosts", open.hosts),
        ("listeners", open.listeners),
        ("pending", open.pending),
        ("connections", open.connections),
    ] {
        gauge!("virtnet_open", "network" => network.to_owned(), "kind" => kind).set(count as f64);
    }
    for (outcome, count) in counted.dials.by_name() {
        counter!("virtnet_dials_total", "network" => network.to_owned(), "outcome" => outcome)
            .absolute(count);
    }
    for (reason, count) in counted.refused.by_name() {
        counter!("virtnet_refused_total", "network" => network.to_owned(), "reason" => reason)
            .absolute(count);
    }
    for (effect, count) in counted.faults.by_name() {
        counter!("virtnet_faults_total", "network" => network.to_owned(), "effect" => effect)
            .absolute(count);
    }
    for (reason, count) in counters
        .iter()
        .flat_map(|counters| counters.stats().by_name())
    {
        counter!("virtnet_quic_refused_total", "network" => network.to_owned(), "reason" => reason)
            .absolute(count);
    }
}
