//! Tests of names that can be lost: how a subnetwork reacts to its registry's reports.
//! Never runs a real registry: this one reports what the test sets.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use virtnet_core::pipe::{PipeEngine, Switchboard};
use virtnet_core::{Cause, Failure, Host, Lost, Registry, RegistryError, SubNetwork};

/// The names of one network, shared by its registries.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, String>>>);

/// A registry that caches answers, and holds its names or not.
struct Leased {
    names: Names,
    /// Answers that a query returns instead of the current ones.
    cached: Mutex<HashMap<String, String>>,
    holds: AtomicBool,
    lost: AsyncMutex<mpsc::UnboundedReceiver<Lost>>,
}

#[async_trait]
impl Registry for Leased {
    async fn announce(&self, hostname: &str, hostdata: &str) -> Result<(), RegistryError> {
        let mut names = self.names.0.lock().unwrap();
        names.insert(hostname.to_owned(), hostdata.to_owned());
        Ok(())
    }

    async fn query(&self, hostname: &str) -> Result<String, RegistryError> {
        if let Some(answer) = self.cached.lock().unwrap().get(hostname) {
            return Ok(answer.clone());
        }
        let names = self.names.0.lock().unwrap();
        let answer = names.get(hostname).cloned();
        answer.ok_or(RegistryError::new(
            "leased",
            "query",
            &[hostname],
            Cause::NoSuchHost,
        ))
    }

    async fn requery(&self, hostname: &str, answer: &str) -> Result<Option<String>, RegistryError> {
        self.cached.lock().unwrap().remove(hostname);
        let now = self.query(hostname).await?;
        Ok(Some(now).filter(|now| now != answer))
    }

    fn holds(&self, _: &str) -> bool {
        self.holds.load(Ordering::SeqCst)
    }

    async fn lost(&self) -> Lost {
        match self.lost.lock().await.recv().await {
            Some(lost) => lost,
            None => std::future::pending().await,
        }
    }

    async fn close(&self) -> Result<(), RegistryError> {
        Ok(())
    }
}

struct Member {
    subnet: SubNetwork,
    registry: Arc<Leased>,
    lose: mpsc::UnboundedSender<Lost>,
}

fn member(names: &Names, switchboard: &Switchboard) -> Member {
    let (lose, lost) = mpsc::unbounded_channel();
    let registry = Arc::new(Leased {
        names: names.clone(),
        cached: Mutex::default(),
        holds: AtomicBool::new(true),
        lost: AsyncMutex::new(lost),
    });
    let engine = |notifier| PipeEngine::new(switchboard, notifier);
    let subnet = SubNetwork::new("pipet", Arc::clone(&registry) as _, engine).unwrap();
    Member {
        subnet,
        registry,
        lose,
    }
}

async fn alpha_and_beta() -> (Member, Host, Member, Host) {
    let (names, switchboard) = (Names::default(), Switchboard::new());
    let (a, b) = (member(&names, &switchboard), member(&names, &switchboard));
    let alpha = a.subnet.new_host("α").await.unwrap();
    let beta = b.subnet.new_host("β").await.unwrap();
    (a, alpha, b, beta)
}

#[tokio::test]
async fn a_lost_name_takes_its_host_down_and_no_other() {
    let (a, alpha, _b, beta) = alpha_and_beta().await;
    let other = a.subnet.new_host("γ").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    // Another registry held the name and freed it again, so only `lost` can tell.
    a.registry.names.0.lock().unwrap().remove("α");
    assert!(a.registry.holds("α"));
    let lost = Lost {
        hostname: "α".to_owned(),
        reason: Failure::other("10.0.0.7:1 holds the name"),
    };
    a.lose.send(lost).unwrap();
    let err = listener.accept().await.unwrap_err();
    assert_eq!(err.to_string(), "accept pipet α:1: host is down");
    let reason = std::error::Error::source(&err).unwrap();
    assert_eq!(reason.to_string(), "10.0.0.7:1 holds the name");
    assert_eq!(
        alpha.dial("β:1").await.unwrap_err().cause(),
        Cause::HostDown
    );
    assert_eq!(
        beta.dial("α:1").await.unwrap_err().cause(),
        Cause::NoSuchHost
    );
    assert!(other.listen("").is_ok(), "only that host went down");
    a.subnet.close().await.unwrap();
}

#[tokio::test]
async fn a_host_whose_name_is_not_held_accepts_nothing() {
    let (a, alpha, _b, beta) = alpha_and_beta().await;
    let listener = alpha.listen(":1").unwrap();
    let (dialed, accepted) = tokio::join!(beta.dial("α:1"), listener.accept());
    let _open = (dialed.unwrap(), accepted.unwrap());

    a.registry.holds.store(false, Ordering::SeqCst);
    assert_eq!(
        beta.dial("α:1").await.unwrap_err().cause(),
        Cause::ConnectionRefused
    );

    a.registry.holds.store(true, Ordering::SeqCst);
    // Lost between the dial's arrival and the accept: refused, not accepted.
    let dialer = beta.clone();
    let waiting = tokio::spawn(async move { dialer.dial("α:1").await });
    while listener.pending() == 0 {
        tokio::task::yield_now().await;
    }
    a.registry.holds.store(false, Ordering::SeqCst);
    let accepting = tokio::spawn(async move { listener.accept().await });
    let refused = waiting.await.unwrap().unwrap_err();
    assert_eq!(refused.cause(), Cause::ConnectionRefused);
    assert_eq!(a.subnet.stats().refused.name_in_doubt, 2);

    a.registry.holds.store(true, Ordering::SeqCst);
    let dialed = beta.dial("α:1").await.unwrap();
    let (accepted, _) = accepting.await.unwrap().unwrap();
    assert_eq!(accepted.peer_addr(), dialed.local_addr());
}

#[tokio::test]
async fn an_answer_that_leads_nowhere_is_asked_again_once() {
    let (_a, alpha, b, beta) = alpha_and_beta().await;
    let listener = alpha.listen(":1").unwrap();
    let stale = ("α".to_owned(), "pipe:999".to_owned());
    b.registry.cached.lock().unwrap().extend([stale]);
    let (dialed, accepted) = tokio::join!(beta.dial("α:1"), listener.accept());
    assert_eq!(
        dialed.unwrap().peer_addr(),
        accepted.unwrap().0.local_addr()
    );

    // The current answer leads to no host either: the error is the dial's.
    let gone = ("δ".to_owned(), "pipe:999".to_owned());
    b.registry.names.0.lock().unwrap().extend([gone]);
    let err = beta.dial("δ:1").await.unwrap_err();
    assert_eq!(err.cause(), Cause::ConnectionRefused);
}

/// `wait_for_hosts` does not rely on cached answers.
#[tokio::test]
async fn a_host_that_is_gone_is_not_taken_for_there() {
    let (_a, _alpha, b, _beta) = alpha_and_beta().await;
    let gone = ("γ".to_owned(), "pipe:1".to_owned());
    b.registry.cached.lock().unwrap().extend([gone]);
    let wait = b
        .subnet
        .wait_for_hosts(&["α", "γ"], std::time::Duration::ZERO);
    let err = wait.await.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut);
    assert!(err.to_string().ends_with("there was no \"γ\""), "{err}");
}
