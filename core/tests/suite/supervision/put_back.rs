//! Requests whose documents go back to an earlier text: by somebody who can write them, or by a failover.
//!
//! Owns these tests. Never has two supervisors.

use virtnet_core::memory::{MemoryHub, MemoryRegistry};
use virtnet_core::supervision::{Action, HostState, Supervision, Supervisor};
use virtnet_core::{Documents, Host, SubNetwork};

use super::{LONG, rough, serve};

/// β has a supervisor on one subnetwork, and the other one asks.
struct Scene {
    docs: MemoryRegistry,
    supervisor: Supervisor,
    asking: Supervision,
    _supervised: (SubNetwork, Host),
}

impl Scene {
    async fn new() -> Scene {
        let hub = MemoryHub::new();
        let [here, there] = rough::subnetworks_on(&hub);
        let beta = there.new_host("β").await.unwrap();
        Scene {
            docs: hub.registry(),
            supervisor: there.supervise(&beta).await.unwrap(),
            asking: here.supervision().within(LONG),
            _supervised: (there, beta),
        }
    }
}

/// The only request, which is taken: its key, and its text before that.
async fn before_it_was_taken(docs: &MemoryRegistry) -> (String, String) {
    let mut requests = docs.list("supervise").await.unwrap();
    let (key, text) = requests.pop().unwrap();
    assert!(requests.is_empty());
    let (request, progress) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(progress.starts_with("taken "), "{text}");
    (key, format!("{request}\nasked\n"))
}

/// Somebody puts the texts of requests back, who can write to the registry.
#[tokio::test]
async fn what_was_done_is_not_done_again() {
    let mut scene = Scene::new().await;
    let serve_first = async {
        let request = scene.supervisor.next().await.unwrap();
        let asked = before_it_was_taken(&scene.docs).await;
        let done = scene.supervisor.done(request, HostState::Killed).await;
        done.unwrap();
        asked
    };
    let (killed, (key, text)) = tokio::join!(scene.asking.kill("β"), serve_first);
    killed.unwrap();
    scene.docs.put(&key, &text, None).await.unwrap();
    // The next one is the first that it gets.
    let serve_next = serve(&mut scene.supervisor, HostState::Paused);
    let (paused, done) = tokio::join!(scene.asking.pause("β"), serve_next);
    paused.unwrap();
    assert_eq!(done.0, Action::Pause);
}

/// The server that took over did not know yet that the request had been taken.
#[tokio::test]
async fn an_answer_arrives_also_after_a_failover() {
    let mut scene = Scene::new().await;
    let serve = async {
        let request = scene.supervisor.next().await.unwrap();
        let (key, text) = before_it_was_taken(&scene.docs).await;
        scene.docs.put(&key, &text, None).await.unwrap();
        scene.supervisor.done(request, HostState::Killed).await
    };
    let (killed, done) = tokio::join!(scene.asking.kill("β"), serve);
    killed.unwrap();
    done.unwrap();
}
