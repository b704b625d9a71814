//! A way to put fault rules in force without the plan that a network shares.
//!
//! Owns [`enforce`]. Never writes a document.

use std::sync::Arc;

use tokio::time::Instant;

use crate::SubNetwork;
use crate::faults::Plan;
use crate::rules::plan::{Part, SharedPlan};
use crate::rules::table::FaultTable;

/// Has one subnetwork enforce `plan`, and no other rules, from now on. For tests of engines and
/// of the core.
///
/// # Errors
///
/// The rules that it cannot enforce, with the reasons. Then the rules before stay in force.
#[doc(hidden)]
pub fn enforce(subnet: &SubNetwork, plan: &Plan) -> Result<(), String> {
    let rules = &subnet.directory.context.rules;
    let before = rules.in_force().map(|in_force| Arc::clone(&in_force.table));
    let before = before.unwrap_or_default();
    let part = Part {
        id: "0".to_owned(),
        lease: None,
        beat: 0,
        plan: plan.clone(),
    };
    let shared = SharedPlan {
        version: before.version() + 1,
        parts: vec![part],
    };
    let table = FaultTable::new(&shared, &before, Instant::now());
    let enforced = subnet.directory.enforce(&Arc::new(table));
    enforced.map_err(|refused| {
        let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
        refused.join("; ")
    })
}
