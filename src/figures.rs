//! Figures for a recorder of the crate `metrics` 0.24, by the feature `metrics-0_24`.
//!
//! Owns their names. Never counts by itself, and never runs unless it is called.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::SubNetwork;
use crate::quic::Counters;

/// Says to the recorder what the figures are: to be called once it is installed.
pub fn describe() {
    describe_gauge!("virtnet_open", "What is open now, by kind");
    describe_counter!("virtnet_dials_total", "Dials made, by outcome");
    describe_counter!("virtnet_refused_total", "Dials refused, by reason");
    describe_counter!(
        "virtnet_quic_refused_total",
        "What the engine refused, by reason"
    );
}

/// Hands the figures of a subnetwork, as they are now, to the recorder; with those of its
/// engine, where it was given [`Counters`].
///
/// They are told apart by the network: of several subnetworks of one network in this
/// process, hand over one.
///
/// To be called whenever they are wanted: on each scrape, or now and then. In between it
/// costs nothing. Without a recorder it does nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counters = virtnet::quic::Counters::default();
/// let counted = counters.clone();
/// let config = virtnet::testing::config()?;
/// let net = config.tune(move |quic| quic.counters(counted.clone())).join().await?;
/// virtnet::figures::describe();
/// virtnet::figures::record(&net, Some(&counters));
/// # net.close().await?; Ok(()) }
/// ```
pub fn record(subnet: &SubNetwork, counters: Option<&Counters>) {
    let network = subnet.network();
    let open = subnet.open();
    for (kind, count) in [
        ("hosts", open.hosts),
        ("listeners", open.listeners),
        ("pending", open.pending),
        ("connections", open.connections),
    ] {
        gauge!("virtnet_open", "network" => network.to_owned(), "kind" => kind).set(count as f64);
    }
    for (outcome, count) in subnet.dials().by_name() {
        counter!("virtnet_dials_total", "network" => network.to_owned(), "outcome" => outcome)
            .absolute(count);
    }
    for (reason, count) in subnet.refused().by_name() {
        counter!("virtnet_refused_total", "network" => network.to_owned(), "reason" => reason)
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
