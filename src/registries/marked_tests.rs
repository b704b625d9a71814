//! Tests of marked documents: who can write one, and who is told what.
//!
//! Owns no production code. Never uses a server: the conformance suite of each registry does.

use virtnet_core::conformance::{RegistryBed, run};
use virtnet_core::memory::MemoryHub;

use super::*;
use crate::quic::{Identity, Secret};

const NETWORK: &str = "net";

fn marks(secret: &Secret) -> Option<Marks> {
    Identity::secret(secret.clone()).marks(NETWORK)
}

fn with(hub: &MemoryHub, marks: Option<Marks>) -> MarkedRegistry {
    MarkedRegistry::new(Arc::new(hub.registry()), "memory:".to_owned(), marks)
}

fn observer(hub: &MemoryHub, marks: Option<Marks>) -> MarkedRegistry {
    with(hub, marks).for_observer()
}

struct Marked(MemoryHub, Secret);

#[async_trait]
impl RegistryBed for Marked {
    async fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(with(&self.0, marks(&self.1)))
    }
}

/// All that a registry must do, except that the largest texts have no room for a mark.
mod contract {
    use super::*;

    virtnet_core::conformance_tests! { async { Marked(MemoryHub::new(), Secret::random()) };
        registry: announce_and_query, no_such_host, taken_names, close_frees_exactly_the_own_names,
            closed_means_down, announce_dropped_at_every_poll;
        documents: put_get_list_remove, replace, replace_then_read, replace_contenders, expiry,
            what_is_not_allowed;
        document_changes: changes_wake, changes_come_with_documents, changes_miss_nothing,
            calls_dropped_at_every_poll, documents_after_close;
        traces: batches_are_read_in_order, traces_after_close;
    }
}

#[test]
fn what_no_member_wrote_does_not_exist() {
    run(async {
        let (hub, secret) = (MemoryHub::new(), Secret::random());
        let (raw, member) = (hub.registry(), with(&hub, marks(&secret)));
        member.put("plan", "cut", None).await.unwrap();
        let marked = raw.get("plan").await.unwrap().unwrap();
        let strange = ["hold", "mark 00\nhold", &marked.replace("cut", "hold")];
        for text in strange {
            raw.put("plan", text, None).await.unwrap();
            assert_eq!(member.get("plan").await.unwrap(), None, "{text}");
            let (_, texts) = member
                .changed_documents("plan", 0, &["plan"])
                .await
                .unwrap();
            assert_eq!(texts, [None]);
            assert!(
                !member
                    .replace("plan", Some("hold"), "x", None)
                    .await
                    .unwrap()
            );
            let keys = ["plan"];
            let replace = member.replace_and_read("plan", None, "cut", None, &keys);
            assert_eq!(replace.await.unwrap(), (true, vec![Some("cut".to_owned())]));
            assert_eq!(raw.get("plan").await.unwrap().as_deref(), Some(&*marked));
        }
        // Put to another place.
        raw.put("plan/2", &marked, None).await.unwrap();
        assert_eq!(
            member.list("plan").await.unwrap(),
            [("plan".into(), "cut".into())]
        );
        assert!(!member.replace("plan", None, "hold", None).await.unwrap());
    });
}

#[test]
fn who_has_not_the_secret_is_told() {
    run(async {
        let (hub, secret) = (MemoryHub::new(), Secret::random());
        let member = with(&hub, marks(&secret));
        let (none, another) = (
            observer(&hub, None),
            observer(&hub, marks(&Secret::random())),
        );
        assert_eq!(another.list("plan").await.unwrap(), []);
        none.put("plan", "open", None).await.unwrap();
        assert_eq!(none.get("plan").await.unwrap().as_deref(), Some("open"));
        assert_eq!(another.list("plan").await.unwrap(), []);

        member.put("plan", "cut", None).await.unwrap();
        let err = another.list("plan").await.unwrap_err();
        let text = "registry \"memory:\": list documents \"plan\": the members of this network have another secret";
        assert_eq!(
            (err.to_string(), err.cause()),
            (text.to_owned(), Cause::PermissionDenied)
        );
        for err in [
            none.get("plan").await.unwrap_err(),
            none.list("plan").await.unwrap_err(),
            none.replace("plan", None, "x", None).await.unwrap_err(),
        ] {
            let text = "registry \"memory:\": read document \"plan\": the members of this network have a \
                        secret: set VIRTNET_SECRET or VIRTNET_SECRET_FILE here, too";
            assert_eq!(
                (err.to_string(), err.cause()),
                (text.to_owned(), Cause::PermissionDenied)
            );
        }
        assert_eq!(member.get("plan").await.unwrap().as_deref(), Some("cut"));
    });
}

/// Neither those with a secret nor those with certificates.
#[test]
fn junk_stops_no_member() {
    run(async {
        let (hub, secret) = (MemoryHub::new(), Secret::random());
        let junk = marks(&Secret::random()).unwrap().mark("plan", "cut");
        for member in [with(&hub, None), with(&hub, marks(&secret))] {
            hub.registry().put("plan", &junk, None).await.unwrap();
            assert_eq!(member.get("plan").await.unwrap(), None);
            assert_eq!(member.list("plan").await.unwrap(), []);
            assert!(member.replace("plan", None, "hold", None).await.unwrap());
            let listed = member.list("plan").await.unwrap();
            assert_eq!(listed, [("plan".into(), "hold".into())]);
        }
    });
}

#[test]
fn while_the_secret_is_replaced_all_write() {
    run(async {
        let (hub, [old, new]) = (MemoryHub::new(), [Secret::random(), Secret::random()]);
        let both = |one: &Secret, other: &Secret| {
            let both = format!("{},{}", one.reveal(), other.reveal());
            with(&hub, marks(&both.parse().unwrap()))
        };
        let (first, second) = (both(&old, &new), both(&new, &old));
        first.put("plan", "0", None).await.unwrap();
        for number in 0..4 {
            let (old, new) = (number.to_string(), (number + 1).to_string());
            let writer = if number % 2 == 0 { &second } else { &first };
            assert!(
                writer
                    .replace("plan", Some(&old), &new, None)
                    .await
                    .unwrap()
            );
            assert!(
                !writer
                    .replace("plan", Some(&old), &new, None)
                    .await
                    .unwrap()
            );
        }
        assert_eq!(first.get("plan").await.unwrap().as_deref(), Some("4"));
    });
}
