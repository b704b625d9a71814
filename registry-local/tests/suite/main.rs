//! The tests of the registry in a folder, in one binary.
//!
//! Owns the list of modules. Never runs where there is no Unix: neither does the registry.

#![cfg(unix)]

mod conformance;
mod contenders;
mod contract;
mod document_files;
mod documents;
mod processes;
mod support;
mod traces;
