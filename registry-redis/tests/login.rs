//! Servers that want to know who comes: passwords, rights, databases, TLS.

#[path = "support/calls.rs"]
mod calls;
mod support;

use std::path::Path;
use std::process::Command;

use calls::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{RedisServer, new_dir};
use virtnet_core::{Cause, Registry, RegistryError};
use virtnet_registry_redis::{RedisOptions, RedisRegistry};

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
            .args(["--exact", "tls_is_spoken_and_verified", "--nocapture"])
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
