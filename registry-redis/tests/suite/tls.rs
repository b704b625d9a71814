//! TLS to a server: trusted authorities and client certificates.
//!
//! Each test makes its own authorities and certificates.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use virtnet_core::{Cause, Registry, RegistryError};
use virtnet_registry_redis::{ClientCertificate, RedisOptions, RedisRegistry};
use virtnet_testkit::redis::{RedisServer, new_dir};

use crate::calls::*;

const ADDR: &str = "10.0.0.2:4433";

/// A directory of certificates; gone with the value.
struct Files(PathBuf);

impl Files {
    /// An authority, and keys and certificates by it: for the server at
    /// 127.0.0.1, and for a client.
    fn mint() -> Files {
        let dir = new_dir();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("authority");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
        for (who, name) in [("server", "127.0.0.1"), ("client", "client")] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name = named(who);
            let certificate = params.signed_by(&key, &ca).unwrap();
            std::fs::write(dir.join(format!("{who}.pem")), certificate.pem()).unwrap();
            std::fs::write(dir.join(format!("{who}.key")), key.serialize_pem()).unwrap();
        }
        Files(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn server(&self, clients: &str) -> RedisServer {
        with(&self.args(clients), &[], RedisServer::start_with)
    }

    fn args(&self, clients: &str) -> Vec<String> {
        let files = [
            ("--tls-cert-file", "server.pem"),
            ("--tls-key-file", "server.key"),
            ("--tls-ca-cert-file", "ca.pem"),
        ];
        let plain = [
            "--port",
            "0",
            "--tls-port",
            "{port}",
            "--tls-auth-clients",
            clients,
        ];
        let mut args: Vec<_> = plain.map(str::to_owned).into();
        args.extend(
            files
                .iter()
                .flat_map(|(arg, name)| [(*arg).to_owned(), self.path(name)]),
        );
        args
    }

    fn trusting(&self) -> RedisOptions {
        with_ca(&self.path("ca.pem"))
    }

    fn as_client(&self, of: &Files) -> RedisOptions {
        let client = with_client(&of.path("client.pem"), &of.path("client.key"));
        let mut options = self.trusting();
        options.client_certificate = client.client_certificate;
        options
    }
}

fn with_ca(file: &str) -> RedisOptions {
    let mut options = RedisOptions::default();
    options.ca_file = Some(file.into());
    options
}

fn with_client(certificate: &str, key: &str) -> RedisOptions {
    let mut options = RedisOptions::default();
    options.client_certificate = Some(ClientCertificate {
        certificate: certificate.into(),
        key: key.into(),
    });
    options
}

fn with(args: &[String], more: &[&str], start: impl Fn(&[&str]) -> RedisServer) -> RedisServer {
    let mut all: Vec<_> = args.iter().map(String::as_str).collect();
    all.extend(more);
    start(&all)
}

/// One that is named as its authority would count as signed by itself.
fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn url(host: &str, server: &RedisServer) -> String {
    format!("rediss://{host}:{}", server.port())
}

async fn works(url: &str, options: RedisOptions) {
    // The first time it is only dropped, which frees the name, too.
    for is_closed in [false, true] {
        let joined = RedisRegistry::connect(url, "n", options.clone()).await;
        let registry = joined.unwrap_or_else(|err| panic!("{}", chain(&err)));
        registry.announce("a", ADDR).await.unwrap();
        assert_eq!(registry.query("a").await.unwrap(), ADDR);
        if is_closed {
            registry.close().await.unwrap();
        }
    }
}

async fn refused(url: &str, options: RedisOptions) -> RegistryError {
    let joined = RedisRegistry::connect(url, "n", options).await;
    let err = joined.expect_err("it must be refused");
    println!("{}", chain(&err));
    err
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_its_name() {
    let (files, others) = (Files::mint(), Files::mint());
    let server = files.server("no");
    works(&url("127.0.0.1", &server), files.trusting()).await;

    let err = refused(&url("127.0.0.1", &server), others.trusting()).await;
    assert_eq!(err.cause(), Cause::PermissionDenied);
    assert!(
        err.to_string().contains("invalid peer certificate"),
        "{err}"
    );
    let err = refused(&url("localhost", &server), files.trusting()).await;
    assert_eq!(err.cause(), Cause::PermissionDenied);
    assert!(err.to_string().contains("not valid for name"), "{err}");
}

#[tokio::test]
async fn a_server_that_wants_to_know_its_clients_does() {
    let (files, others) = (Files::mint(), Files::mint());
    let server = files.server("yes");
    let url = url("127.0.0.1", &server);
    works(&url, files.as_client(&files)).await;
    for (what, options) in [
        ("no certificate", files.trusting()),
        (
            "by another authority of that name",
            files.as_client(&others),
        ),
    ] {
        for _ in 0..20 {
            let err = refused(&url, options.clone()).await;
            assert_eq!(
                err.cause(),
                Cause::PermissionDenied,
                "{what}: {}",
                chain(&err)
            );
        }
    }
}

#[tokio::test]
async fn sentinels_and_clusters_speak_tls_too() {
    let (files, others) = (Files::mint(), Files::mint());
    let args = files.args("no");
    let server = with(&args, &[], RedisServer::start_with);
    let conf = format!("sentinel monitor pipet 127.0.0.1 {} 1\n", server.port());
    let start = |args: &[&str]| RedisServer::start_sentinel(&conf, args);
    let sentinel = with(&args, &["--tls-replication", "yes"], start);
    let cluster = [
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        "{bus}",
        "--tls-cluster",
        "yes",
    ];
    let node = with(&args, &cluster, RedisServer::start_with);
    let made = Command::new("redis-cli")
        .args([
            "--tls",
            "--cacert",
            &files.path("ca.pem"),
            "-p",
            &node.port().to_string(),
        ])
        .args(["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])
        .output();
    let made = String::from_utf8(made.expect("redis-cli is installed").stdout);
    assert_eq!(made.unwrap().trim(), "OK");

    let place = |server: &RedisServer| format!("127.0.0.1:{}", server.port());
    for url in [
        format!("rediss+sentinel://{}/pipet", place(&sentinel)),
        format!("rediss+cluster://{}", place(&node)),
    ] {
        // Servers take a moment until they agree, with themselves too.
        let until = Instant::now() + BOUND;
        while let Err(err) = RedisRegistry::connect(&url, "n", files.trusting()).await {
            assert_eq!(err.cause(), Cause::RegistryDown, "{}", chain(&err));
            assert!(Instant::now() < until, "{}", chain(&err));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        works(&url, files.trusting()).await;
        let err = refused(&url, others.trusting()).await;
        assert_eq!(err.cause(), Cause::PermissionDenied);
    }
}

#[tokio::test]
async fn files_that_are_no_good_are_named() {
    let files = Files::mint();
    let (url, no) = ("rediss://127.0.0.1:1", "/nowhere/a.pem");
    let (ca, key) = (files.path("ca.pem"), files.path("client.key"));
    for (options, what, file) in [
        (with_ca(no), "CA", no),
        (with_ca(&key), "CA", &*key),
        (with_client(no, &key), "client certificate", no),
        (with_client(&ca, no), "client key", no),
        (with_client(&ca, &ca), "client key", &ca),
    ] {
        let err = refused(url, options).await;
        assert_eq!(err.cause(), Cause::InvalidAddr);
        let named = format!("cannot use the {what} file {:?}", Path::new(file));
        assert!(err.to_string().contains(&named), "{err}");
    }
    // Nobody who names certificates wants to go without TLS.
    let err = refused("redis://127.0.0.1:1", files.trusting()).await;
    assert_eq!(err.cause(), Cause::InvalidAddr);
    assert!(err.to_string().contains("rediss://"), "{err}");
}

#[test]
fn what_is_shown_of_options_is_where_the_files_are() {
    let files = Files::mint();
    let shown = format!("{:?}", files.as_client(&files));
    assert!(shown.contains("client.key"), "{shown}");
    let key = std::fs::read_to_string(files.path("client.key")).unwrap();
    for line in key.lines() {
        assert!(!shown.contains(line), "{shown}");
    }
}
