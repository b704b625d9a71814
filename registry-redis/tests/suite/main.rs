//! The tests of this package that use only what is public, one module a subject.
//!
//! Owns the list of modules. Never has a test itself. Tests that need private items are in
//! `src/tests`.

mod acl;
mod cache;
mod calls;
mod cancel;
mod cluster;
mod conformance;
mod contenders;
mod contract;
mod document_calls;
mod document_changes;
mod documents;
mod failover;
mod free_on_drop;
mod leases;
mod listing;
mod login;
mod outage;
mod plan;
mod processes;
mod sentinel;
mod sentinel_join;
mod survival;
mod tls;
mod traces;
