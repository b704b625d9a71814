//! A trace as text, diagrams, a page for the browser, and packets.
//!
//! Owns the formats. Never changes a trace, and never reads one.

mod conns;
mod html;
mod lines;
mod mermaid;
mod packets;
mod pcapng;
mod shiviz;
mod table;
mod text;

pub use html::Html;
pub use mermaid::Mermaid;
pub use shiviz::{SHIVIZ_REGEX, Shiviz};
pub use table::Table;
