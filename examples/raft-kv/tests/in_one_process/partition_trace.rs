//! What the network's trace shows of a partition.
//!
//! Owns what must hold in it, whichever node led. Never causes a partition.

use virtnet::trace::{EventKind, Trace};

/// What the network recorded of the partition: all nodes enforced it and were healed; in between, the old leader
/// and the others had no connection to each other, and one of these was elected.
pub(crate) fn assert_apart(trace: &Trace, old: &str) {
    let events: Vec<_> = trace.events().iter().map(|traced| &traced.event).collect();
    let nodes = ["α", "β", "γ"];
    let mut elected = Vec::new();
    for node in nodes {
        let its = events.iter().filter(|event| &*event.host == node);
        let mut apart = None;
        for event in its {
            match &event.kind {
                EventKind::FaultsInForce { rules, .. } => match apart {
                    None => {
                        assert_eq!(rules.len(), 4, "{event}");
                        apart = Some(true);
                    }
                    Some(_) => apart = Some(!rules.is_empty()),
                },
                EventKind::Connected { end, .. } | EventKind::Accepted { end, .. } => {
                    let ends = [end.local.host(), end.peer.host()];
                    let crosses =
                        ends.iter().all(|host| nodes.contains(host)) && ends.contains(&old);
                    assert!(apart != Some(true) || !crosses, "{event}");
                }
                EventKind::Note { text } if apart == Some(true) && text.contains("is leader") => {
                    elected.push(node);
                }
                _ => {}
            }
        }
        assert_eq!(apart, Some(false), "{node} was cut off and healed");
    }
    assert!(
        !elected.is_empty() && !elected.contains(&old),
        "{elected:?}"
    );
}
