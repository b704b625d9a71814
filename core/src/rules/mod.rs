//! Faults between named hosts: what may be done to their traffic, and the plan that says where.
//!
//! Owns [`Rule`] and [`Plan`] with their text, the seeded decisions, and the [`FaultTable`] that
//! engines and connections ask. Never touches a connection or a datagram.

pub(crate) mod chance;
pub(crate) mod delay;
pub(crate) mod line;
pub(crate) mod link;
pub mod pairs;
pub(crate) mod plan;
pub(crate) mod random;
pub(crate) mod rule;
pub(crate) mod rule_text;
pub(crate) mod table;

pub use delay::{BLOCK, Delays};
pub use link::{Fate, Link};
pub use plan::{MAX_RULES, Plan, PlanError};
pub use random::{Kind, RandomOptions, Step, random_plan};
pub use rule::{Chance, Fault, Rule};
pub use rule_text::RuleError;
pub use table::{FaultTable, RuleCounts};
