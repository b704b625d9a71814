//! Requests whose documents go back to an earlier text: by somebody who can write them, or by a failover.
//!
//! Owns these tests. Never has two supervisors.

use virtnet_core::Documents;
use virtnet_core::memory::MemoryHub;
use virtnet_core::supervision::{Action, HostState};

use super::{LONG, rough, serve};

/// Somebody puts the texts of requests back, who can write to the registry.
#[tokio::test]
async fn what_was_done_is_not_done_again() {
    let hub = MemoryHub::new();
    let [here, there] = rough::subnetworks_on(&hub);
    let beta = there.new_host("β").await.unwrap();
    let mut supervisor = there.supervise(&beta).await.unwrap();
    let asking = here.supervision().within(LONG);
    let docs = hub.registry();
    let serve_first = async {
        let request = supervisor.next().await.unwrap();
        let mut taken = docs.list("supervise").await.unwrap();
        supervisor.done(request, HostState::Killed).await.unwrap();
        taken.remove(0)
    };
    let (asked, (key, text)) = tokio::join!(asking.kill("β"), serve_first);
    asked.unwrap();
    let (request, progress) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(progress.starts_with("taken "), "{text}");
    let again = format!("{request}\nasked\n");
    docs.put(&key, &again, None).await.unwrap();
    // The next one is the first that it gets.
    let (asked, done) = tokio::join!(asking.pause("β"), serve(&mut supervisor, HostState::Paused));
    asked.unwrap();
    assert_eq!(done.0, Action::Pause);
}

/// The server that took over did not know yet that the request had been taken.
#[tokio::test]
async fn an_answer_arrives_also_after_a_failover() {
    let hub = MemoryHub::new();
    let [here, there] = rough::subnetworks_on(&hub);
    let beta = there.new_host("β").await.unwrap();
    let mut supervisor = there.supervise(&beta).await.unwrap();
    let asking = here.supervision().within(LONG);
    let docs = hub.registry();
    let serve = async {
        let request = supervisor.next().await.unwrap();
        let taken = docs.list("supervise").await.unwrap();
        let [(key, text)] = &taken[..] else {
            panic!("{taken:?}");
        };
        let (asked, _) = text.trim_end().rsplit_once('\n').unwrap();
        docs.put(key, &format!("{asked}\nasked\n"), None)
            .await
            .unwrap();
        supervisor.done(request, HostState::Killed).await.unwrap();
    };
    let (asked, ()) = tokio::join!(asking.kill("β"), serve);
    asked.unwrap();
}
