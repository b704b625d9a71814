//! Authentication of both sides: a host that does not prove its name gets no
//! connection, and the error gives the reason.
//!
//! Owns the failures of authentication between engines; `hostile` owns those that
//! need another kind of peer.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::common::raw::{Pki, other_server, server};
use crate::common::relay::{Path, Relay};
use crate::common::{Net, config, connect, eventually};
use virtnet_core::{Cause, OpError, Registry, SubNetwork};
use virtnet_engine_quic::{Identity, QuicConfig, Secret, Tuning};

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}

/// Asserts the cause and text of a failed dial from β:1 to `dst`.
fn assert_dial(err: OpError, network: &str, dst: &str, cause: Cause, text: &str) {
    assert_eq!(
        err.to_string(),
        format!("dial {network} β:1->{dst}: {text}")
    );
    assert_eq!(err.cause(), cause);
}

#[tokio::test]
async fn another_secret() {
    let net = Net::new("net");
    let (here, counters) = net.join_with(net.config());
    let (there, _) = net.join_with(config(&Secret::random()));
    let _alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let text = format!(
        "expected host \"α\" at {}, got a peer with another secret for network \"net\"",
        net.real_addr("α")
    );
    let err = beta.dial("α:1").await.unwrap_err();
    assert_dial(err, "net", "α:1", Cause::PermissionDenied, &text);
    eventually("it is counted", || counters.stats().handshakes_failed == 1).await;
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test]
async fn another_network() {
    let net = Net::new("net");
    let here = net.join();
    let prepared = net.config().prepare("other").unwrap();
    let registry = Arc::new(net.hub.registry());
    let there = SubNetwork::new("other", registry, |notifier| prepared.start(notifier)).unwrap();
    let _alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let text = format!(
        "expected host \"α\" at {}, got a peer that is not on network \"other\": \
         it is on another network, or is not a virtnet host",
        net.real_addr("α")
    );
    let err = beta.dial("α:1").await.unwrap_err();
    assert_dial(err, "other", "α:1", Cause::PermissionDenied, &text);
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test]
async fn another_host_at_that_address() {
    let net = Net::new("net");
    let (here, there) = (net.join(), net.join());
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let _listener = alpha.listen(":1").unwrap();
    let place = net.real_addr("α");
    let stale = net.hub.registry();
    stale.announce("γ", &place.to_string()).await.unwrap();
    let text = format!("expected host \"γ\" at {place}, got another host of network \"net\"");
    let err = beta.dial("γ:1").await.unwrap_err();
    assert_dial(err, "net", "γ:1", Cause::PermissionDenied, &text);
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test]
async fn a_rejected_certificate() {
    let (old, new) = ("0d".repeat(32), "0e".repeat(32));
    let net = Net::new("net");
    let (here, _) = net.join_with(config(&secret(&new)));
    let (there, _) = net.join_with(config(&secret(&format!("{old},{new}"))));
    let alpha = here.new_host("α").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let _listener = alpha.listen(":1").unwrap();
    let text = format!(
        "host \"α\" at {} rejected this host's certificate: the hosts have different secrets",
        net.real_addr("α")
    );
    let err = beta.dial("α:1").await.unwrap_err();
    assert_dial(err, "net", "α:1", Cause::PermissionDenied, &text);
    here.close().await.unwrap();
    there.close().await.unwrap();
}

#[tokio::test]
async fn secrets_are_replaced_step_by_step() {
    let (old, new) = ("0d".repeat(32), "0e".repeat(32));
    let (both, swapped) = (format!("{old},{new}"), format!("{new},{old}"));
    for (one, other) in [(&old, &both), (&both, &swapped), (&swapped, &new)] {
        let net = Net::new("net");
        let (here, _) = net.join_with(config(&secret(one)));
        let (there, _) = net.join_with(config(&secret(other)));
        let alpha = here.new_host("α").await.unwrap();
        let beta = there.new_host("β").await.unwrap();
        let (at_alpha, at_beta) = (alpha.listen(":1").unwrap(), beta.listen(":1").unwrap());
        connect(&beta, &at_alpha).await;
        connect(&alpha, &at_beta).await;
        here.close().await.unwrap();
        there.close().await.unwrap();
    }
}

#[tokio::test]
async fn given_certificates() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let join = |hosts: &[&str]| {
        let identity = pki.identity(&pki.leaf("net", hosts));
        net.join_with(QuicConfig::new(identity).bind((Ipv4Addr::LOCALHOST, 0).into()))
    };
    let ((here, _), (there, _)) = (join(&["α", "γ"]), join(&["β"]));
    let alpha = here.new_host("α").await.unwrap();
    let gamma = here.new_host("γ").await.unwrap();
    let beta = there.new_host("β").await.unwrap();
    let listener = beta.listen(":1").unwrap();
    connect(&alpha, &listener).await;
    connect(&gamma, &listener).await;
    connect(&beta, &alpha.listen(":1").unwrap()).await;

    let err = there.new_host("δ").await.unwrap_err().to_string();
    assert!(
        err.contains("expected a certificate with the DNS name"),
        "{err}"
    );
    assert!(net.hub.hosts().iter().all(|(host, _)| host != "δ"));
    here.close().await.unwrap();
    there.close().await.unwrap();
}

/// A certificate with so many names that QUIC's usual 16 KiB for what comes behind a gap would not do.
#[tokio::test]
async fn a_large_certificate_stands_the_loss_of_a_datagram() {
    let pki = Pki::new();
    let more: Vec<_> = (0..700).map(|number| number.to_string()).collect();
    let hosts: Vec<_> = more.iter().map(String::as_str).chain(["α", "β"]).collect();
    let leaf = pki.leaf("net", &hosts);
    let mut tuning = Tuning::default();
    tuning.largest_datagram = 1200;
    let join = |net: &Net| {
        let config = QuicConfig::new(pki.identity(&leaf)).tuning(tuning);
        net.join_with(config.bind((Ipv4Addr::LOCALHOST, 0).into()))
            .0
    };
    for lost_at in [10, 14] {
        let path = Path {
            lost_at,
            ..Path::CLEAN
        };
        for (there, back) in [(path, Path::CLEAN), (Path::CLEAN, path)] {
            let (at_alpha, at_beta) = (Net::new("net"), Net::new("net"));
            let (here, away) = (join(&at_alpha), join(&at_beta));
            let alpha = here.new_host("α").await.unwrap();
            let beta = away.new_host("β").await.unwrap();
            let relay = Relay::start(at_alpha.real_addr("α"), 1).await;
            relay.set_each(there, back);
            let says_so = at_beta.hub.registry();
            let place = relay.real_addr().to_string();
            says_so.announce("α", &place).await.unwrap();
            connect(&beta, &alpha.listen(":1").unwrap()).await;
            assert!(relay.fates().lost > 0, "the certificate is that large");
            away.close().await.unwrap();
            here.close().await.unwrap();
        }
    }
}

#[test]
fn a_chain_that_no_peer_accepts_is_an_error_at_once() {
    let pki = Pki::new();
    let hosts: Vec<_> = (0..1100).map(|number| number.to_string()).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let of = |count| {
        let leaf = pki.leaf("net", &hosts[..count]);
        Identity::pki(
            leaf.chain.as_bytes(),
            leaf.chain.as_bytes(),
            leaf.key.as_bytes(),
        )
    };
    of(1000).unwrap();
    let err = of(1100).unwrap_err().to_string();
    let said = "the certificate chain: expected a chain of at most 65535 bytes, got ";
    assert!(err.starts_with(said), "{err}");
}

/// As keytool of Java 17 makes it, through `openssl pkcs12 -nodes`: PKCS#8 without the optional public key.
const OF_JAVA: &str = "-----BEGIN PRIVATE KEY-----
MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCDjSVV7tGxJii/ffM90
VyMLu3vDGDGZFRWnvMuSU3N3+Q==
-----END PRIVATE KEY-----
";

#[test]
fn keys_that_cannot_be_used_are_errors_that_say_why() {
    let pki = Pki::new();
    let (leaf, other) = (pki.leaf("net", &["α"]), pki.leaf("net", &["α"]));
    let read = |key: &str| {
        let chain = leaf.chain.as_bytes();
        Identity::pki(chain, chain, key.as_bytes())
            .unwrap_err()
            .to_string()
    };
    let encrypted = leaf.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    for (key, why) in [
        (
            encrypted.as_str(),
            "cannot read a private key from the key: it is encrypted",
        ),
        (
            old,
            "cannot read a private key from the key: it is encrypted",
        ),
        (
            &leaf.chain,
            "cannot read a private key from the key: expected one in PEM, got none",
        ),
        (
            OF_JAVA,
            "cannot use the private key from the key: expected Ed25519, ECDSA on P-256 or P-384, or RSA of 2048 to 8192 bits; \
             in PKCS#8, keys of ECDSA must contain the public key",
        ),
        (
            &other.key,
            "the private key from the key does not belong to the first certificate from the certificate chain",
        ),
    ] {
        assert_eq!(read(key), why);
    }
}

#[tokio::test]
async fn what_is_not_virtnet() {
    let net = Net::new("net");
    let (there, _) = net.join_with(net.config().dial_timeout(Duration::from_millis(300)));
    let beta = there.new_host("β").await.unwrap();
    let registry = net.hub.registry();

    // Speaks QUIC, but another protocol.
    let pki = Pki::new();
    let other = other_server(&pki.leaf("net", &["α"]));
    let serving = tokio::spawn({
        let other = other.clone();
        async move {
            while let Some(incoming) = other.accept().await {
                drop(incoming.await)
            }
        }
    });
    let place = other.local_addr().unwrap();
    registry.announce("α", &place.to_string()).await.unwrap();
    let text = format!("expected host \"α\" at {place}, got a peer that does not speak virtnet/2");
    let err = beta.dial("α:1").await.unwrap_err();
    assert_dial(err, "net", "α:1", Cause::Protocol, &text);
    other.close(0u32.into(), b"");
    serving.await.unwrap();

    // Sends nothing at all.
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = silent.local_addr().unwrap();
    registry.announce("γ", &place.to_string()).await.unwrap();
    let text = format!("no answer from host \"γ\" at {place} within 300ms");
    let err = beta.dial("γ:1").await.unwrap_err();
    assert_dial(err, "net", "γ:1", Cause::TimedOut, &text);

    // Not a valid address.
    registry.announce("δ", "0.0.0.0:80").await.unwrap();
    let text = "invalid hostdata \"0.0.0.0:80\" of host \"δ\" in the registry: \
                expected an address of one host, got the unspecified address";
    let err = beta.dial("δ:1").await.unwrap_err();
    assert_dial(err, "net", "δ:1", Cause::Protocol, text);
    assert_eq!(beta.sockets(), []);
    there.close().await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_bound() {
    let net = Net::new("net");
    // From the block for documentation (RFC 5737).
    let config = QuicConfig::new(Identity::secret(Secret::random()));
    let (here, _) = net.join_with(config.bind(([192, 0, 2, 1], 0).into()));
    let err = here.new_host("α").await.unwrap_err().to_string();
    assert!(
        err.starts_with("virtnet \"net\": new host \"α\": cannot bind UDP address 192.0.2.1:0: "),
        "{err}"
    );
    assert_eq!(net.hub.hosts(), []);
    here.close().await.unwrap();
}

#[tokio::test]
async fn a_peers_words_are_shown_without_what_a_terminal_obeys() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let identity = pki.identity(&pki.leaf("net", &["β"]));
    let (there, _) = net.join_with(QuicConfig::new(identity).bind((Ipv4Addr::LOCALHOST, 0).into()));
    let beta = there.new_host("β").await.unwrap();
    let server = server(&pki.leaf("net", &["α"]), &["virtnet/2"]);
    let registry = net.hub.registry();
    let place = server.local_addr().unwrap().to_string();
    registry.announce("α", &place).await.unwrap();
    let answer = async {
        let conn = server.accept().await.unwrap().await.unwrap();
        conn.close(77u32.into(), b"\x1b[2Jall is\nwell");
    };
    let (dialed, ()) = tokio::join!(beta.dial("α:1"), answer);
    let err = dialed.unwrap_err().to_string();
    assert!(
        err.contains("all is well") && !err.contains(char::is_control),
        "{err:?}"
    );
    there.close().await.unwrap();
}
