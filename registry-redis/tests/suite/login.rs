//! Servers that refuse a client, by password, rights, database, TLS or number of clients, or
//! that lack a feature.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpStream;
use virtnet_core::{Cause, Registry, RegistryError};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{Proxy, RedisServer, new_dir};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";

async fn refused(url: &str) -> RegistryError {
    let joined = RedisRegistry::connect(url, "n", RedisOptions::default()).await;
    let err = joined.expect_err("it must be refused");
    println!("{}", chain(&err));
    let shown = format!("{err:?} {}", chain(&err));
    assert!(
        !shown.contains("hunter2") && !shown.contains("wrong"),
        "{shown}"
    );
    err
}

fn with_login(server: &RedisServer, login: &str) -> String {
    format!("redis://{login}@127.0.0.1:{}", server.port())
}

#[tokio::test]
async fn a_wrong_password_is_not_a_server_that_is_down() {
    let server = RedisServer::start_with(&["--requirepass", "hunter2"]);
    let err = refused(&with_login(&server, ":wrong")).await;
    assert_eq!(err.cause(), Cause::PermissionDenied);
    let err = refused(&with_login(&server, "nobody:wrong")).await;
    assert_eq!(err.cause(), Cause::PermissionDenied);
    let shown = format!("redis://nobody@127.0.0.1:{}", server.port());
    assert_eq!(err.registry(), shown);
    let err = refused(&server.url()).await;
    assert_eq!(err.cause(), Cause::PermissionDenied);

    let registry = join_url(&with_login(&server, ":hunter2"), "n").await;
    registry.announce("a", ADDR).await.unwrap();
    assert!(!format!("{registry:?}").contains("hunter2"));
    // A drop frees its names with the password, too.
    drop(registry);
    let registry = join_url(&with_login(&server, ":hunter2"), "n").await;
    registry.announce("a", ADDR).await.unwrap();
    registry.close().await.unwrap();
    // A server that asks for no password takes any.
    let open = RedisServer::start();
    let registry = join_url(&with_login(&open, ":hunter2"), "n").await;
    registry.close().await.unwrap();
    let err = refused(&with_login(&open, "nobody:hunter2")).await;
    assert_eq!(err.cause(), Cause::PermissionDenied);
}

#[tokio::test]
async fn databases_are_apart_and_one_that_is_not_there_is_an_error() {
    let server = RedisServer::start();
    let err = refused(&format!("{}/9999", server.url())).await;
    assert_eq!(err.cause(), Cause::Other);
    assert!(err.to_string().contains("out of range"), "{err}");

    let one = join_url(&format!("{}/1", server.url()), "n").await;
    let two = join_url(&format!("{}/2", server.url()), "n").await;
    one.announce("a", ADDR).await.unwrap();
    two.announce("a", ADDR).await.unwrap();
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test]
async fn urls_of_other_things_are_refused() {
    for url in [
        "http://u:hunter2@h",
        "unix:///tmp/x",
        "10.0.0.9:6379",
        "redis://u:hunter2@h:x",
        "",
    ] {
        let err = refused(url).await;
        assert_eq!(
            (err.op(), err.cause()),
            ("connect", Cause::InvalidAddr),
            "{url}"
        );
    }
}

/// Writes a CA's certificate, and a key and certificate by it for 127.0.0.1.
fn write_certificates(dir: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    for (name, pem) in [
        ("ca.pem", ca.pem()),
        ("key.pem", key.serialize_pem()),
        ("cert.pem", certificate.pem()),
    ] {
        std::fs::write(dir.join(name), pem).unwrap();
    }
}

/// Which root certificates are trusted is read from the environment, which a
/// process cannot safely change for itself: so this test runs itself once more,
/// as a process of its own, for each case.
const CASE: &str = "VIRTNET_TEST_TLS_CASE";
const URL: &str = "VIRTNET_TEST_TLS_URL";

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    if let Ok(case) = std::env::var(CASE) {
        let url = std::env::var(URL).unwrap();
        return tls_case(&case, &url).await;
    }
    let (dir, other) = (new_dir(), new_dir());
    write_certificates(&dir);
    write_certificates(&other);
    let file = |name| dir.join(name).to_str().unwrap().to_owned();
    let server = RedisServer::start_with(&[
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
    ]);
    let url = format!("rediss://127.0.0.1:{}", server.port());
    for (case, url, dir) in [
        ("trusted", url.clone(), &dir),
        ("not trusted", url, &other),
        (
            "another name",
            format!("rediss://localhost:{}", server.port()),
            &dir,
        ),
    ] {
        let run = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "login::tls_is_spoken_and_verified",
                "--nocapture",
            ])
            .env(CASE, case)
            .env(URL, url)
            .env("SSL_CERT_FILE", dir.join("ca.pem"))
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        assert!(
            run.status.success() && output.contains("1 passed"),
            "{case}: {output}"
        );
        println!("{case}: {output}");
    }
    // A TLS server hangs up on those who do not speak it: it is not down.
    let err = refused(&format!("redis://127.0.0.1:{}", server.port())).await;
    assert_eq!(err.cause(), Cause::Protocol);
    assert!(err.to_string().contains("use rediss://"), "{err}");
    for dir in [dir, other] {
        std::fs::remove_dir_all(dir).unwrap();
    }
}

async fn tls_case(case: &str, url: &str) {
    match case {
        "trusted" => {
            let registry = join_url(url, "n").await;
            registry.announce("a", ADDR).await.unwrap();
            assert_eq!(registry.query("a").await.unwrap(), ADDR);
            registry.close().await.unwrap();
        }
        "not trusted" | "another name" => {
            let err = refused(url).await;
            assert_eq!(err.cause(), Cause::PermissionDenied);
            assert!(
                err.to_string().contains("invalid peer certificate"),
                "{err}"
            );
        }
        other => panic!("no such case: {other}"),
    }
}

#[tokio::test]
async fn a_server_that_lets_no_more_clients_in_is_not_down_but_says_so() {
    let server = RedisServer::start();
    let kept = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    let member = join(&server, "n").await;
    let admin = ["CONFIG", "SET", "maxclients", "2"];
    let proxy = Proxy::start(server.port()).await;
    // Set over a connection that ends with it; those that are there stay.
    assert_eq!(server.command(&admin), ["+OK"]);
    let mut options = RedisOptions::default();
    for remember in [5, 0] {
        options.remember = Duration::from_secs(remember);
        // What the server says is lost at times, as something was sent meanwhile.
        for is_lost in [false, true] {
            if is_lost {
                proxy.cut_at_next_answer();
            }
            let begin = Instant::now();
            let joined = RedisRegistry::connect(&proxy.url(), "n", options.clone()).await;
            let err = joined.unwrap_err();
            assert_eq!(err.cause(), Cause::Other, "{}", chain(&err));
            let said = chain(&err).contains("max number of clients reached");
            assert!(said, "{}", chain(&err));
            assert!(begin.elapsed() < BOUND);
        }
    }
    assert_eq!(proxy.cuts(), 2);
    member.announce("a", ADDR).await.unwrap();
    drop(kept);
    let until = Instant::now() + BOUND;
    let joined = loop {
        match RedisRegistry::connect(&server.url(), "n", options.clone()).await {
            Ok(joined) => break joined,
            Err(err) => assert!(Instant::now() < until, "{}", chain(&err)),
        }
    };
    // A third connection, for what the test asks, is one too many until then.
    for registry in [joined, member] {
        registry.close().await.unwrap();
    }
}

/// Some proxies, and what stands in for Redis in test suites.
#[tokio::test]
async fn a_server_that_cannot_push_is_asked_each_time_and_warned_of_once() {
    for missing in ["CLIENT", "HELLO"] {
        let server = RedisServer::start_with(&["--rename-command", missing, ""]);
        let (host, dialer) = (join(&server, "n").await, join(&server, "n").await);
        let warnings = dialer.warnings();
        let is_told = matches!(warnings, [one] if one.contains("each look-up asks the server")
            && one.contains("command") && one.contains(missing));
        assert!(is_told, "{missing}: {warnings:?}");
        for place in [ADDR, "10.0.0.3:4433"] {
            let host = join(&server, "n").await;
            host.announce("a", place).await.unwrap();
            for _ in 0..3 {
                assert_eq!(dialer.query("a").await.unwrap(), place);
            }
            assert_eq!(dialer.requery("a", place).await.unwrap(), None);
            host.close().await.unwrap();
            let err = dialer.query("a").await.unwrap_err();
            assert_eq!(err.cause(), Cause::NoSuchHost);
        }
        host.announce("b", ADDR).await.unwrap();
        assert_eq!(dialer.hosts().await.unwrap().len(), 1);
        let before = server.command(&["INFO", "commandstats"]).remove(0);
        assert!(!before.contains("cmdstat_client|caching"), "{before}");
        for registry in [host, dialer] {
            registry.close().await.unwrap();
        }
        assert_eq!(server.keys(), [""; 0]);
    }
    let server = RedisServer::start();
    assert!(join(&server, "n").await.warnings().is_empty());
}
