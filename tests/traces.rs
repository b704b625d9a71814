//! The events of `tracing`: a dial on both sides, hosts and connections; and that no level
//! shows a secret.
//!
//! A binary of its own, because the subscriber is one per process.
//! Owns the expected lines, and the secrets that are searched for. Never tests the cost of
//! events without a subscriber: `tests/dial_cost.rs` does.

use std::fmt::{Debug, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use virtnet::quic::Secret;
use virtnet::redis::{RedisOptions, RedisRegistry};
use virtnet::{Config, SubNetwork};
use virtnet_testkit::redis::RedisServer;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Stores all events as lines: `LEVEL target: fields`.
struct Everything(AtomicU64);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}").unwrap(),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

fn keep(metadata: &Metadata<'_>, what: &str, record: impl FnOnce(&mut Line)) {
    let mut line = Line(format!("{} {}:{what}", metadata.level(), metadata.target()));
    record(&mut line);
    LINES.lock().unwrap().push(line.0);
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let name = format!(" [{}]", span.metadata().name());
        keep(span.metadata(), &name, |line| span.record(line));
        Id::from_u64(self.0.fetch_add(1, Relaxed))
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::from("TRACE span:"));
        values.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }

    fn event(&self, event: &Event<'_>) {
        keep(event.metadata(), "", |line| event.record(line));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Checks that the lines contain these, in this order, possibly with others in between.
fn in_order(expected: &[&str]) {
    let lines = LINES.lock().unwrap();
    let mut rest = lines.iter().filter(|line| line.contains(" virtnet_"));
    for expected in expected {
        assert!(
            rest.any(|line| line.contains(expected)),
            "no {expected:?}, or not in its turn, in {lines:#?}"
        );
    }
}

fn forget() {
    LINES.lock().unwrap().clear();
}

async fn talk(from: &SubNetwork, to: &SubNetwork) {
    let (alpha, beta) = (
        from.new_host("α").await.unwrap(),
        to.new_host("β").await.unwrap(),
    );
    in_order(&[
        "DEBUG virtnet_registry_redis::registry::inner: announced hostname=\"α\" hostdata=\"127.0.0.1:",
        "INFO virtnet_core::host: host made network=\"traced\" host=\"α\"",
    ]);
    forget();

    alpha.dial("β:1").await.unwrap_err();
    in_order(&[
        "DEBUG virtnet_core::host: [dial] network=\"traced\" src=α:1 dst=β:1",
        "port taken",
        "asking Redis",
        "host found hostdata=\"127.0.0.1:",
        "connecting addr=127.0.0.1:",
        "[quic] host=\"α\" to=127.0.0.1:",
        "QUIC connection made at=127.0.0.1:",
        "hello sent",
        "[incoming] network=\"traced\" src=α:1 dst=β:1",
        "arrived",
        "refused why=NothingListens",
        "not dialed why=connection refused",
    ]);
    forget();

    let listener = beta.listen("β:1").unwrap();
    let dialed = tokio::spawn(async move { alpha.dial("β:1").await });
    while listener.pending() == 0 {
        tokio::task::yield_now().await;
    }
    let (mut accepted, _) = listener.accept().await.unwrap();
    let mut dialed = dialed.await.unwrap().unwrap();
    in_order(&[
        "[dial] network=\"traced\" src=α:1 dst=β:1",
        "QUIC connection reused at=127.0.0.1:",
        "hello sent",
        "arrived",
        "waits for an accept",
        "taken local=β:2",
        "accepted port=2",
        "dialed peer=β:2",
    ]);
    in_order(&["taken local=β:2", "acknowledged conn=Conn(traced β:2-α:1)"]);
    forget();

    dialed
        .write_all(b"what only the two of them know")
        .await
        .unwrap();
    drop(dialed);
    in_order(&["down conn=Conn(traced α:1-β:2) why=socket is down"]);
    let mut heard = String::new();
    accepted.read_to_string(&mut heard).await.unwrap();
}

/// One test, as there is one global subscriber.
#[tokio::test]
async fn a_dials_way_is_traced_and_nothing_secret() {
    tracing::subscriber::set_global_default(Everything(AtomicU64::new(1))).unwrap();
    let password = "pass-that-nobody-may-see";
    let redis = RedisServer::start_with(&["--requirepass", password]);
    let url = format!("redis://:{password}@127.0.0.1:{}", redis.port());
    let secret = Secret::random();
    let (hex, mut said) = (secret.reveal(), Vec::new());
    let open = || {
        let config = Config::new("traced").registry(&*url);
        config.secret(secret.clone()).bind("127.0.0.1:0").open()
    };
    let (here, there) = (open().await.unwrap(), open().await.unwrap());
    talk(&here, &there).await;
    said.append(&mut LINES.lock().unwrap());
    here.close().await.unwrap();
    in_order(&[
        "INFO virtnet_core::context: closing network=\"traced\"",
        "freed names=1",
    ]);
    there.close().await.unwrap();

    // What is refused says more than what is not.
    let wrong = url.replace(password, "pass-that-nobody-may-see-either");
    let refused = RedisRegistry::connect(&wrong, "traced", RedisOptions::default()).await;
    println!("{}", refused.unwrap_err());
    let config = Config::new("traced")
        .registry(&*url)
        .secret(Secret::random());
    let other = config.bind("127.0.0.1:0").open().await.unwrap();
    let there = open().await.unwrap();
    let _beta = there.new_host("β").await.unwrap();
    let gamma = other.new_host("γ").await.unwrap();
    println!("{}", gamma.dial("β:1").await.unwrap_err());
    other.close().await.unwrap();
    there.close().await.unwrap();

    said.append(&mut LINES.lock().unwrap());
    println!("{} lines", said.len());
    let traced = said
        .iter()
        .any(|line| line.starts_with(&Level::TRACE.to_string()));
    assert!(traced, "nothing at the finest level");
    for line in &said {
        for never in [password, &hex, &hex[..16], "what only the two", "BEGIN"] {
            assert!(!line.contains(never), "{never:?} is said: {line}");
        }
    }
}
