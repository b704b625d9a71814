//! The time limits of a whole network, in one place.
//!
//! Owns `silence`: what follows from it, and a test of a partition that is short. Never measures time.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use virtnet::faults::{FaultError, Plan, Rule, pairs};
use virtnet::quic::Secret;
use virtnet::{Cause, Config, OpError};
use virtnet_testkit::redis::RedisServer;

const SILENCE: Duration = Duration::from_secs(1);

/// With the default limits this would take more than twenty seconds.
#[tokio::test]
async fn a_partition_is_noticed_at_both_ends() {
    let (server, secret) = (RedisServer::start(), Secret::random());
    let config = Config::new("silence")
        .registry(server.url())
        .secret(secret)
        .silence(SILENCE);
    let (here, there) = (
        config.clone().open().await.unwrap(),
        config.clone().open().await.unwrap(),
    );
    let (alpha, beta) = (
        here.new_host("α").await.unwrap(),
        there.new_host("β").await.unwrap(),
    );
    let listener = beta.listen(":1").unwrap();
    let connect = async || tokio::try_join!(alpha.dial("β:1"), listener.accept()).unwrap();
    let (mut near, (mut far, _)) = connect().await;
    let lease = config.observer().hosts().await.unwrap()[0].lease_left;
    assert!(
        lease.is_some_and(|lease| lease <= SILENCE * 3 / 2),
        "{lease:?}"
    );

    let apart = Plan::new().for_each(pairs::halves(&["α"], &["β"]), Rule::cut);
    let guard = here.faults().apply(apart).await.unwrap();
    let (one, other, dialed) = tokio::join!(near.read_u8(), far.read_u8(), alpha.dial("β:1"));
    for err in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!(OpError::of(&err).unwrap().cause(), Cause::TimedOut);
    }
    let err = dialed.unwrap_err();
    assert_eq!(err.cause(), Cause::TimedOut);
    assert!(err.to_string().ends_with("within 300ms"), "{err}");

    guard.heal().await.unwrap();
    drop(connect().await);
    // A listener that does not accept at once says so in time.
    let late = async {
        tokio::time::sleep(SILENCE / 2).await;
        listener.accept().await
    };
    let (dialed, accepted) = tokio::join!(alpha.dial("β:1"), late);
    assert_eq!(
        dialed.unwrap().peer_addr(),
        accepted.unwrap().0.local_addr()
    );
    for net in [there, here] {
        net.close_expecting(Cause::ConnectionCut).await.unwrap();
    }
}

/// Sets a plan for α and β, whose process is gone.
async fn cut_from_who_is_gone(silence: Duration, within: Duration) -> Result<(), FaultError> {
    let server = RedisServer::start();
    let config = Config::new("silence")
        .registry(server.url())
        .secret(Secret::random())
        .silence(silence);
    let here = config.clone().open().await.unwrap();
    let there = config.open().await.unwrap();
    let _alpha = here.new_host("α").await.unwrap();
    let _beta = there.new_host("β").await.unwrap();
    there.crash().await.unwrap();
    let applied = here
        .faults()
        .within(within)
        .apply(Rule::cut("α", "β"))
        .await;
    here.close().await.unwrap();
    applied.map(drop)
}

#[tokio::test]
async fn a_plan_waits_a_little_longer_for_who_is_gone_than_for_its_silence() {
    let within = Duration::from_secs(30);
    cut_from_who_is_gone(SILENCE, within).await.unwrap();
    let within = Duration::from_millis(700);
    let err = cut_from_who_is_gone(60 * SILENCE, within)
        .await
        .unwrap_err();
    assert_eq!(
        err.to_string(),
        "faults: within 700ms there was no acknowledgement by the subnetworks of \"β\""
    );
}

#[tokio::test]
async fn what_is_too_short_or_too_long_is_named() {
    let open = async |silence| {
        let config = Config::new("silence").silence(silence);
        config.open().await.map(drop).unwrap_err().to_string()
    };
    let short = open(Duration::from_millis(499)).await;
    assert_eq!(short, "silence: expected from 500 ms to an hour, got 499ms");
    let long = open(Duration::from_secs(3601)).await;
    assert_eq!(long, "silence: expected from 500 ms to an hour, got 3601s");
    let var = |name: &str| (name == "VIRTNET_SILENCE").then(|| "0.1".into());
    let config = Config::from_vars(var).unwrap();
    let err = config.open().await.map(drop).unwrap_err().to_string();
    assert_eq!(
        err,
        "VIRTNET_SILENCE: expected from 500 ms to an hour, got 100ms"
    );
    // Nothing else limits this dial.
    let var = |name: &str| (name == "VIRTNET_SILENCE").then(|| "0.5".into());
    let net = Config::from_vars(var).unwrap().open().await.unwrap();
    let (alpha, beta) = tokio::try_join!(net.new_host("α"), net.new_host("β")).unwrap();
    let _nobody_accepts = beta.listen(":1").unwrap();
    let cut = net.faults().apply(Rule::cut("α", "β")).await.unwrap();
    let err = alpha.dial("β:1").await.unwrap_err().to_string();
    assert!(err.ends_with("within 150ms"), "{err}");
    cut.heal().await.unwrap();
    // The lease can be set apart from it.
    let apart = Config::new("silence").silence(SILENCE);
    apart.lease(Duration::from_secs(60)).open().await.unwrap();
}
