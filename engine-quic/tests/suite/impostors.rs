//! Peers with a valid certificate that claim another host's name, and peers whose
//! certificate is invalid, on either side.
//!
//! Owns the checks of certificates; `hostile` owns the checks of what members send.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::common::raw::{self, Leaf, Pki, hello};
use crate::common::{HANG, Net, connect, eventually};
use quinn::{ConnectionError, VarInt};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, date_time_ymd};
use tokio::time::timeout;
use virtnet_core::{Cause, Registry};
use virtnet_engine_quic::{QuicConfig, dns_name};

/// TLS alerts, as QUIC error codes.
const UNSUPPORTED: u64 = 0x100 + 43;
const EXPIRED: u64 = 0x100 + 45;
const DECRYPT_ERROR: u64 = 0x100 + 51;
const NONE: u64 = 0x100 + 116;

fn expired(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2000, 1, 1);
}

fn for_only(usage: ExtendedKeyUsagePurpose) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.extended_key_usages = vec![usage]
}

/// With the name in the common name, which is not checked.
fn common_name(params: &mut CertificateParams) {
    let name = dns_name("net", "β");
    params.distinguished_name.push(DnType::CommonName, name);
}

/// What ended the connection: an application code of the host, or TLS.
#[derive(Debug, PartialEq)]
enum End {
    NotProved,
    Tls(u64),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_claims_anothers_name_gets_no_connection() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let identity = pki.identity(&pki.leaf("net", &["α", "β"]));
    let config = QuicConfig::new(identity).bind((Ipv4Addr::LOCALHOST, 0).into());
    let (subnet, counters) = net.join_with(config);
    let alpha = subnet.new_host("α").await.unwrap();
    let beta = subnet.new_host("β").await.unwrap();
    let listener = alpha.listen(":1").unwrap();
    connect(&beta, &listener).await;

    let gamma = pki.leaf("net", &["γ"]);
    let tls = |alert| End::Tls(alert);
    let serving = for_only(ExtendedKeyUsagePurpose::ServerAuth);
    let cases: Vec<(&str, Option<Leaf>, &str, End)> = vec![
        (
            "another's",
            Some(pki.leaf("net", &["γ"])),
            "β",
            End::NotProved,
        ),
        (
            "the dialed host's",
            Some(pki.leaf("net", &["γ"])),
            "α",
            End::NotProved,
        ),
        (
            "nobody's",
            Some(pki.leaf("net", &["γ"])),
            "δ",
            End::NotProved,
        ),
        (
            "in another case",
            Some(pki.leaf("net", &["γ"])),
            "Γ",
            End::NotProved,
        ),
        (
            "composed otherwise",
            Some(pki.leaf("net", &["é"])),
            "e\u{301}",
            End::NotProved,
        ),
        (
            "with a space",
            Some(pki.leaf("net", &["β "])),
            "β",
            End::NotProved,
        ),
        (
            "of another network",
            Some(pki.leaf("ten", &["β"])),
            "β",
            End::NotProved,
        ),
        (
            "cut elsewhere",
            Some(pki.leaf("ne", &["tβ"])),
            "β",
            End::NotProved,
        ),
        (
            "in the common name",
            Some(pki.leaf_with("net", &["γ"], common_name)),
            "β",
            End::NotProved,
        ),
        (
            "another's sent along",
            Some(gamma.with(&pki.leaf("net", &["β"]))),
            "β",
            End::NotProved,
        ),
        (
            "signed by a member",
            Some(gamma.signs("net", &["β"])),
            "β",
            tls(DECRYPT_ERROR),
        ),
        (
            "signed by a stranger",
            Some(Pki::new().leaf("net", &["β"])),
            "β",
            tls(DECRYPT_ERROR),
        ),
        (
            "for servers only",
            Some(pki.leaf_with("net", &["β"], serving)),
            "β",
            tls(UNSUPPORTED),
        ),
        (
            "expired",
            Some(pki.leaf_with("net", &["β"], expired)),
            "β",
            tls(EXPIRED),
        ),
        ("without", None, "β", tls(NONE)),
    ];
    let (mut slowest, count) = (Duration::ZERO, cases.len() as u64);
    let not_proved = cases.iter().filter(|case| case.3 == End::NotProved).count() as u64;
    for (what, leaf, src, end) in cases {
        let start = Instant::now();
        let (_endpoint, conn) = raw::connect(
            &pki,
            leaf.as_ref(),
            net.real_addr("α"),
            &dns_name("net", "α"),
        )
        .await;
        // The connection may close earlier, with the same result. The stream is dropped
        // at once, so the refusal is not read, which must change nothing.
        if let Ok((mut send, _recv)) = conn.open_bi().await {
            let _ = send.write_all(&hello("net", (src, 9), ("α", 1))).await;
        }
        let closed = timeout(Duration::from_secs(5), conn.closed()).await;
        let ended = match closed.expect(what) {
            ConnectionError::ApplicationClosed(close)
                if close.error_code == VarInt::from_u32(3) =>
            {
                End::NotProved
            }
            ConnectionError::ConnectionClosed(close) => End::Tls(close.error_code.into()),
            other => panic!("{what}: closed by {other:?}"),
        };
        assert_eq!(ended, end, "{what}");
        assert_eq!(listener.pending(), 0, "{what}");
        slowest = slowest.max(start.elapsed());
    }
    let stats = || counters.stats();
    let failed = count - not_proved;
    eventually("all are counted", || stats().handshakes_failed == failed).await;
    assert_eq!(stats().source_not_proved, not_proved);
    connect(&beta, &listener).await;
    eventually("α's ports are free", || alpha.sockets().len() == 1).await;
    subnet.close().await.unwrap();
    println!(
        "failures: a holder of one host's certificate: {count} claims, 0 accepted, \
         {not_proved} closed with code 3, slowest {slowest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_for_another_is_told_nothing() {
    let (net, pki) = (Net::new("net"), Pki::new());
    let identity = pki.identity(&pki.leaf("net", &["β"]));
    let (subnet, _) =
        net.join_with(QuicConfig::new(identity).bind((Ipv4Addr::LOCALHOST, 0).into()));
    let beta = subnet.new_host("β").await.unwrap();
    let gamma = pki.leaf("net", &["γ"]);
    let dialing = for_only(ExtendedKeyUsagePurpose::ClientAuth);
    let mut slowest = Duration::ZERO;
    let cases = [
        (
            "another's",
            pki.leaf("net", &["γ"]),
            "got another host of network \"net\"",
        ),
        (
            "of another network",
            pki.leaf("ten", &["α"]),
            "got another host of network \"net\"",
        ),
        (
            "another's sent along",
            gamma.with(&pki.leaf("net", &["α"])),
            "got another host",
        ),
        (
            "signed by a member",
            gamma.signs("net", &["α"]),
            "with another secret",
        ),
        (
            "signed by a stranger",
            Pki::new().leaf("net", &["α"]),
            "with another secret",
        ),
        (
            "for clients only",
            pki.leaf_with("net", &["α"], dialing),
            "did not prove its name",
        ),
        (
            "expired",
            pki.leaf_with("net", &["α"], expired),
            "is not valid at this time",
        ),
    ];
    let count = cases.len();
    for (what, leaf, said) in cases {
        let server = raw::server(&leaf, &["virtnet/2"]);
        let place = server.local_addr().unwrap().to_string();
        let registry = net.hub.registry();
        registry.announce("α", &place).await.unwrap();
        let start = Instant::now();
        let answer = async {
            // It receives the dialer's alert, but no stream.
            let incoming = server.accept().await.unwrap();
            match incoming.await {
                Ok(conn) => conn.accept_bi().await.map(|_| "a stream").unwrap_err(),
                Err(err) => err,
            }
        };
        let both = async { tokio::join!(beta.dial("α:1"), answer) };
        let (dialed, received) = timeout(HANG, both).await.unwrap();
        let err = dialed.unwrap_err();
        assert_eq!(err.cause(), Cause::PermissionDenied, "{what}: {err}");
        assert!(err.to_string().contains(said), "{what}: {err}");
        assert!(
            matches!(received, ConnectionError::ConnectionClosed(_)),
            "{what}: {received:?}"
        );
        slowest = slowest.max(start.elapsed());
    }
    assert_eq!(beta.sockets(), []);
    subnet.close().await.unwrap();
    println!(
        "failures: another answers for the dialed host: {count} of {count} refused before a \
         stream, slowest {slowest:?}"
    );
}
