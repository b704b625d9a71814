//! Many processes that announce one name at the same moment, over stale files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::*;
use tokio::sync::Barrier;
use virtnet_core::{Cause, Registry};
use virtnet_registry_local::LocalRegistry;

/// Lets all contenders announce one name at once; returns who won.
async fn contend(contenders: &[Arc<LocalRegistry>], name: &str) -> Vec<usize> {
    let start = Arc::new(Barrier::new(contenders.len()));
    let mut calls = Vec::new();
    for (n, registry) in contenders.iter().enumerate() {
        let (registry, start, name) = (Arc::clone(registry), Arc::clone(&start), name.to_owned());
        calls.push(tokio::spawn(async move {
            start.wait().await;
            let held = registry.announce(&name, &n.to_string()).await;
            // Whoever is told that it is taken finds who took it.
            let found = registry.query(&name).await;
            (held, found)
        }));
    }
    let (mut winners, mut found) = (Vec::new(), Vec::new());
    for (n, call) in calls.into_iter().enumerate() {
        let (held, answer) = call.await.unwrap();
        match held {
            Ok(()) => winners.push(n),
            Err(err) => assert_eq!(err.cause(), Cause::HostAlreadyRegistered, "{err:?}"),
        }
        found.push(answer.unwrap());
    }
    assert!(found.iter().all(|answer| *answer == found[0]), "{found:?}");
    winners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_contenders_exactly_one_wins() {
    const CONTENDERS: usize = 100;
    const ROUNDS: usize = 300;
    let dir = temp();
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|_| Arc::new(open(dir.path())))
        .collect();
    let folder = contenders[0].folder().to_owned();
    let begin = Instant::now();
    for round in 0..ROUNDS {
        let name = format!("h{round}");
        if round % 2 == 1 {
            // In every other round over what a killed process left.
            let (left, file) = Left::of(&name).await;
            assert!(left.put(&folder.join(file)));
        }
        let winners = contend(&contenders, &name).await;
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
    }
    println!("{ROUNDS} rounds of {CONTENDERS} in {:.1?}", begin.elapsed());
    assert_eq!(files(&folder).len(), ROUNDS);
    for registry in contenders {
        registry.close().await.unwrap();
    }
    assert_eq!(files(&folder).len(), 0);
}

/// Announces and closes without a pause, beside others that do, and beside
/// somebody who dies of it again and again. Never two have the name.
#[test]
fn never_two_have_a_name_that_comes_and_goes() {
    const THREADS: usize = 8;
    const TIMES: usize = 2_000;
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let dir = temp();
    let (left, file) = runtime().block_on(Left::of("a"));
    let folder = open(dir.path()).folder().to_owned();
    let [holders, held, crashes] = [(); 3].map(|()| AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let take = || {
        runtime().block_on(async {
            for _ in 0..TIMES {
                // Which also tidies up.
                let registry = open(dir.path());
                if let Err(err) = registry.announce("a", ADDR).await {
                    assert_eq!(err.cause(), Cause::HostAlreadyRegistered, "{err:?}");
                    continue;
                }
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two have it");
                // It is there for all, as long as it is held.
                assert_eq!(registry.query("a").await.unwrap(), ADDR);
                held.fetch_add(1, Ordering::Relaxed);
                holders.fetch_sub(1, Ordering::SeqCst);
                registry.close().await.unwrap();
            }
        });
    };
    std::thread::scope(|scope| {
        let takers: Vec<_> = (0..THREADS).map(|_| scope.spawn(take)).collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if left.put(&folder.join(&file)) {
                    crashes.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let took = takers.into_iter().map(|taker| taker.join());
        let took: Vec<_> = took.collect();
        done.store(true, Ordering::Relaxed);
        took.into_iter().for_each(|took| took.unwrap());
    });
    let [held, crashes] = [held, crashes].map(AtomicUsize::into_inner);
    println!("held {held} times, {crashes} files were left in between");
    assert!(held > 100 && crashes > 10, "{held}, {crashes}");
    drop(open(dir.path()));
    assert_eq!(files(&folder).len(), 0);
}
