//! Peers: the names of all nodes, and what each is called where.
//!
//! Owns the order of the names, from which follow the numbers that openraft
//! knows the nodes by. Never dials one.

use std::collections::BTreeMap;
use std::str::FromStr;

use openraft::BasicNode;

/// What openraft calls a node.
pub type NodeId = u64;

/// The port on which every node listens.
pub const PORT: u16 = 1;

/// The nodes of a cluster: virtnet hostnames, sorted, the same on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers(Vec<String>);

/// Why a list of names is none of a cluster's nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no list of different names, as α,β,γ is")]
pub struct PeersError(String);

impl Peers {
    /// The names, sorted.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The number of the node `name`: its place in the order, from 1.
    pub fn id(&self, name: &str) -> Option<NodeId> {
        let place = self.0.binary_search_by(|peer| peer.as_str().cmp(name));
        Some(place.ok()? as NodeId + 1)
    }

    /// The name of the node with this number.
    pub fn name(&self, id: NodeId) -> Option<&str> {
        let place = usize::try_from(id).ok()?.checked_sub(1)?;
        self.0.get(place).map(String::as_str)
    }

    /// The nodes as openraft keeps them: with the address to dial.
    pub fn members(&self) -> BTreeMap<NodeId, BasicNode> {
        let member = |(id, name): (NodeId, &String)| (id, BasicNode::new(address(name)));
        (1..).zip(&self.0).map(member).collect()
    }
}

impl FromStr for Peers {
    type Err = PeersError;

    fn from_str(list: &str) -> Result<Peers, PeersError> {
        let mut names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
        names.sort();
        let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || names.iter().any(String::is_empty) {
            return Err(PeersError(list.to_owned()));
        }
        Ok(Peers(names))
    }
}

/// Where the node `name` listens.
pub fn address(name: &str) -> String {
    format!("{name}:{PORT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_the_names() {
        let peers: Peers = "γ, α,β".parse().unwrap();
        assert_eq!(peers.names(), ["α", "β", "γ"]);
        assert_eq!((peers.id("α"), peers.name(1)), (Some(1), Some("α")));
        assert_eq!((peers.id("γ"), peers.name(3)), (Some(3), Some("γ")));
        assert_eq!((peers.id("δ"), peers.name(0)), (None, None));
        assert_eq!(peers.name(4), None);
        assert_eq!(peers.members()[&2], BasicNode::new("β:1"));
    }

    #[test]
    fn a_name_twice_or_none_at_all_is_no_list() {
        for list in ["", "α,,β", "α,β,α", "α,"] {
            assert_eq!(list.parse::<Peers>(), Err(PeersError(list.to_owned())));
        }
    }
}
