//! The tests that every engine and every registry must pass.
//!
//! Owns the contract as executable checks, the same for all implementations. Never
//! knows which engine or registry it tests, and never depends on timing: a check
//! polls for its condition, up to a time limit.
//!
//! To test an engine, implement [`Bed`] and invoke the macro:
//!
//! ```
//! use virtnet_core::SubNetwork;
//! use virtnet_core::conformance::Bed;
//! use virtnet_core::pipe::PipeNetwork;
//!
//! struct Pipes(PipeNetwork);
//!
//! #[async_trait::async_trait]
//! impl Bed for Pipes {
//!     async fn subnetwork(&self) -> SubNetwork {
//!         self.0.subnetwork()
//!     }
//! }
//!
//! mod pipes {
//! # use super::*;
//!     virtnet_core::conformance!(async { Pipes(PipeNetwork::new("pipet").unwrap()) });
//! }
//! # fn main() {}
//! ```
//!
//! This defines one `#[test]` per check. To test a registry on its own, implement
//! [`RegistryBed`] and invoke [`registry_conformance!`](crate::registry_conformance).

mod bed;
pub mod cancelling;
pub mod closing;
pub mod crashing;
pub mod dialing;
pub mod document_changes;
pub mod documents;
pub mod fault_cells;
pub mod faults;
pub mod hosts;
pub mod looking;
mod matrix;
pub mod registry;
mod rules;
pub mod streams;
pub mod trace;
pub mod traces;

pub use bed::{Bed, run};
pub use registry::RegistryBed;
#[doc(hidden)]
pub use rules::enforce;

/// Defines one `#[test]` per check of an engine. The argument is a future that returns
/// a [`Bed`]; each test awaits its own.
#[macro_export]
macro_rules! conformance {
    ($bed:expr) => {
        $crate::conformance_tests! { $bed;
            hosts: names_of_all_kinds, bad_names, taken_names, names_are_free_after_close,
                an_announced_host_refuses;
            dialing: the_example, the_example_within_one_subnetwork, lowest_free_ports,
                listen_errors, dial_errors, a_host_dials_itself, concurrent_dials,
                many_connections_at_once, ports_are_free_when_the_peer_knows,
                addresses_repeat_once_hosts_are_idle;
            looking: dials_are_refused_and_accepted_later, next_dial_dropped_at_every_poll,
                a_dial_that_is_looked_at_ends;
            streams: bytes_both_ways, first_bytes, half_close, split_halves, backpressure,
                dropping_delivers, closing_the_subnetwork_delivers, after_shutdown, aborting_cuts,
                aborting_cuts_what_was_dropped;
            closing: the_matrix_with_the_close_first, the_matrix_with_the_operation_blocked,
                the_matrix_within_one_subnetwork,
                the_first_close_counts, closing_twice, auto_close, handles_keep_their_subnetwork,
                a_refused_dial_is_gone, a_close_right_after_a_dial;
            cancelling: dial_dropped_at_every_poll, accept_dropped_at_every_poll,
                what_nobody_got_is_cut,
                new_host_dropped_at_every_poll, close_dropped_at_first_poll,
                close_with_calls_nobody_polls;
            crashing: peers_hear_nothing, restarting, a_crash_is_no_close;
            faults: refusing, resetting, holding, cutting, joining_later;
            fault_cells: cut_cells, hold_cells, refuse_cells, reset_cells, delay_cells, rate_cells, loss_cells,
                corrupt_cells;
            trace: the_example_is_recorded, streams_are_recorded, dials_are_recorded,
                closes_are_recorded, what_is_dropped_is_recorded, crashes_are_recorded,
                many_hosts_are_recorded;
        }
    };
}

/// Defines one `#[test]` per check of a registry. The argument is a future that returns
/// a [`RegistryBed`]; each test awaits its own.
#[macro_export]
macro_rules! registry_conformance {
    ($bed:expr) => {
        $crate::conformance_tests! { $bed;
            registry: announce_and_query, no_such_host, taken_names, names_are_bytes,
                close_frees_exactly_the_own_names, closed_means_down, contenders,
                announce_dropped_at_every_poll;
            documents: put_get_list_remove, the_largest_documents, replace, replace_then_read, replace_contenders,
                expiry, what_is_not_allowed, documents_of_two_networks;
            document_changes: changes_wake, changes_come_with_documents, changes_miss_nothing, calls_dropped_at_every_poll,
                documents_after_close;
            traces: batches_are_read_in_order, batches_wake, many_writers, the_oldest_batches_are_dropped, traces_are_removed,
                traces_of_two_networks, trace_calls_dropped_at_every_poll, traces_after_close;
        }
    };
}

/// The tests themselves; used by the two macros above.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($bed:expr; $($module:ident: $($check:ident),+;)+) => {$(
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $check() {
                    $crate::conformance::run(async {
                        let bed = $bed.await;
                        $crate::conformance::$module::$check(&bed).await;
                    });
                }
            )+
        }
    )+};
}
