//! After a close, no task and no descriptor is left.
//!
//! Owns one test, as it counts the descriptors of the whole process.

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Net, connect, eventually};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use virtnet_core::{Registry, RegistryError, SubNetwork};

/// The open descriptors of this process, and what each refers to.
fn descriptors() -> Vec<String> {
    let mut open: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        // Reading the directory needs a descriptor itself.
        .filter(|target| !target.starts_with("/proc/"))
        .collect();
    open.sort();
    open
}

/// A registry whose announcements never complete.
struct Silent;

#[async_trait]
impl Registry for Silent {
    async fn announce(&self, _: &str, _: &str) -> Result<(), RegistryError> {
        std::future::pending().await
    }

    async fn query(&self, _: &str) -> Result<String, RegistryError> {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Ok(())
    }
}

/// A host whose announcement is cancelled.
async fn given_up(net: &Net) {
    let prepared = net.config().prepare("net").unwrap();
    let start = |notifier| prepared.start(notifier);
    let subnet = SubNetwork::new("net", Arc::new(Silent), start).unwrap();
    let host = subnet.new_host("δ");
    tokio::select! {
        biased;
        _ = host => panic!("nobody answered"),
        () = std::future::ready(()) => {}
    }
    subnet.close().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let net = Net::new("net");
    let before = (tasks(), descriptors());
    for _ in 0..3 {
        let (here, there) = (net.join(), net.join());
        let alpha = here.new_host("α").await.unwrap();
        let beta = there.new_host("β").await.unwrap();
        let listener = alpha.listen(":1").unwrap();
        let mut held = Vec::new();
        for _ in 0..10 {
            let (mut dialed, accepted) = connect(&beta, &listener).await;
            dialed.write_all(b"not read").await.unwrap();
            held.push((dialed, accepted));
        }
        // A dial that waits, one that is refused, and a host that cannot be made.
        let waiting = tokio::spawn({
            let beta = beta.clone();
            async move { beta.dial("α:1").await }
        });
        eventually("the dial waits", || listener.pending() == 1).await;
        beta.dial("α:2").await.unwrap_err();
        let elsewhere = net.hub.registry();
        elsewhere.announce("γ", "taken").await.unwrap();
        here.new_host("γ").await.unwrap_err();
        elsewhere.close().await.unwrap();
        given_up(&net).await;
        assert!(tasks() > before.0 && descriptors().len() > before.1.len());

        let (one, other) = tokio::join!(here.close(), there.close());
        one.unwrap();
        other.unwrap();
        waiting.await.unwrap().unwrap_err();
        // While all handles still exist.
        eventually("all tasks end", || tasks() == before.0).await;
        assert_eq!(descriptors(), before.1);
        drop((held, listener, alpha, beta));
    }
}
