//! What one measurement is told: the spec that the driver hands to a fresh
//! process, and the numbers that come back.
//!
//! Owns the two as JSON values. Never measures.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One work of one contender, in one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    pub work: String,
    pub contender: String,
    /// Smaller counts, for a look rather than for numbers to quote.
    pub quick: bool,
    /// The Redis server that the run started, `redis://host:port`.
    pub redis: String,
    /// A network name that no other measurement of the run has.
    pub network: String,
    /// Where the server listens, and the client is bound.
    pub ip: IpAddr,
    /// How the server is reached, where it is a process of its own.
    pub ticket: Option<String>,
}

impl Spec {
    /// The work without the place where it runs.
    pub fn base(&self) -> &str {
        base(&self.work)
    }

    /// `full`, or `quick` of a quick run.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A number of another contender that was measured in the same process.
    pub fn metric_of(&self, contender: &str, unit: &str, value: f64) -> Metric {
        Metric {
            contender: contender.to_owned(),
            ..self.metric("", unit, value)
        }
    }

    /// A number that belongs to this work.
    pub fn metric(&self, suffix: &str, unit: &str, value: f64) -> Metric {
        Metric {
            work: format!("{}{suffix}", self.work),
            contender: self.contender.clone(),
            unit: unit.to_owned(),
            value,
        }
    }
}

/// `bulk` of `bulk-2proc` and of `bulk-1500`.
pub fn base(work: &str) -> &str {
    let work = work.strip_suffix("-2proc").unwrap_or(work);
    work.strip_suffix("-1500").unwrap_or(work)
}

/// Whether client and server are processes of their own.
pub fn is_two_processes(work: &str) -> bool {
    base(work) != work
}

/// One measured number of one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Metric {
    pub work: String,
    pub contender: String,
    pub unit: String,
    pub value: f64,
}
