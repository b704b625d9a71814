//! The tests of this package that need no process of their own, one module a subject.
//!
//! Owns the list of modules, and which feature a module needs. Never has a test itself. Each
//! other test binary says in its own head why it is one.

#[cfg(feature = "cli")]
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod cli_bulk;
#[cfg(feature = "cli")]
mod cli_echo;
#[cfg(feature = "cli")]
mod cli_fault;
#[cfg(all(feature = "cli", unix))]
mod cli_forward;
#[cfg(all(feature = "cli", unix))]
mod cli_forward_ends;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod cli_host;
#[cfg(feature = "cli")]
mod cli_hosts;
#[cfg(all(feature = "cli", unix))]
mod cli_local;
#[cfg(feature = "cli")]
mod cli_ping;
#[cfg(feature = "cli")]
mod cli_pipe;
#[cfg(all(feature = "cli", unix))]
mod cli_proxy;
#[cfg(feature = "cli")]
mod cli_registry;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod cli_run;
#[cfg(feature = "cli")]
mod cli_trace;
#[cfg(all(feature = "cli", unix))]
mod cli_trace_follow;
mod conformance;
mod crash;
mod dropin;
mod far;
#[cfg(all(feature = "cli", unix))]
mod forwards;
#[cfg(feature = "cli")]
mod golden;
mod limits;
#[cfg(feature = "trace-files")]
mod live_trace;
#[cfg(feature = "metrics-0_24")]
mod metrics;
mod on_panic;
mod pages;
#[cfg(feature = "cli")]
mod peers;
#[cfg(feature = "programs")]
mod programs;
#[cfg(feature = "trace-files")]
mod reorder;
mod silence;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod strangers;
mod testing;
