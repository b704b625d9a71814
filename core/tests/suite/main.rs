//! The tests of core through its public interface, in one binary.
//!
//! Owns the list of modules. Never starts a process or uses a network.

// The features are required here, not with `required-features` in the manifest: images
// are built from that manifest without the tests.
#[cfg(all(feature = "axum-0_8", feature = "tonic-0_14"))]
mod adapt;
mod addr_props;
mod closing;
mod conformance;
mod faults;
mod faults_plan;
mod halves;
mod incoming;
mod leases;
mod limits;
mod names;
mod outcomes;
mod schedules;
mod seams;
mod supervision;
mod support;
mod trace;
mod trace_show;
