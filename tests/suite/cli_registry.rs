//! Registries with several servers or TLS; and one server for several runs.
//!
//! Owns that the command reaches them by URL and options. Never fails a server over: the
//! tests of registry-redis do.

use std::path::PathBuf;

use crate::support::{Running, command, member, run, start};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use virtnet_testkit::redis::{Cluster, RedisServer, Sentinels, new_dir};

/// Connects a listener and a dialer of one network, and ends both.
fn meet(url: &str, options: &[&str]) {
    let with = |args: &[&str]| start(member(url, args).args(options));
    let mut listener = with(&["listen", "β:1"]);
    listener.wait_for("listening β:1");
    let hosts = run(command(&["hosts", "--registry", url]).args(options)).success();
    // The address on the route to the registry's first address.
    assert!(hosts.starts_with("β\t127.0.0.1:"), "{hosts}");
    run(command(&["wait", "β", "--registry", url]).args(options)).success();
    let mut dialer = with(&["dial", "--from", "α", "β:1"]);
    dialer.write("hello");
    dialer.close_stdin();
    listener.close_stdin();
    assert_eq!(listener.end().success(), "hello");
    dialer.end().success();
}

#[tokio::test]
async fn a_cluster_and_sentinels_by_url() {
    let cluster = Cluster::start().await;
    meet(&cluster.url(), &[]);
    // The others are replicas, which may lag.
    for primary in &cluster.nodes[..3] {
        assert_eq!(primary.keys(), [""; 0]);
    }
    drop(cluster);
    let sentinels = Sentinels::start().await;
    meet(&sentinels.url(), &[]);
    assert_eq!(sentinels.primary.keys(), [""; 0]);
}

/// A directory with a certificate authority, and certificates for both ends.
struct Files(PathBuf);

impl Files {
    fn mint() -> Files {
        let dir = new_dir();
        let mut params = CertificateParams::default();
        // A certificate with the name of its authority would count as self-signed.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
        for (who, name) in [("server", "127.0.0.1"), ("client", "client")] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, who);
            let certificate = params.signed_by(&key, &ca).unwrap();
            std::fs::write(dir.join(format!("{who}.pem")), certificate.pem()).unwrap();
            let file = dir.join(format!("{who}.key"));
            std::fs::write(&file, key.serialize_pem()).unwrap();
            // A file that everybody can read would cause a warning.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&file, mode).unwrap();
        }
        Files(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn tls_with_your_own_authority_and_client_certificate() {
    let files = Files::mint();
    let [ca, cert, key] = ["ca.pem", "server.pem", "server.key"].map(|name| files.path(name));
    let server = RedisServer::start_with(&[
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "yes",
    ]);
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let [cert, key] = ["client.pem", "client.key"].map(|name| files.path(name));
    let [all, two] = [0, 2].map(|skipped| {
        let options = [
            "--registry-ca",
            &ca,
            "--registry-cert",
            &cert,
            "--registry-key",
            &key,
        ];
        options[skipped..]
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    });
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    meet(&url, &all);

    // The variables do the same, and an option overrides them.
    let hosts = |ca: &str, cert: &str| {
        let mut hosts = command(&["hosts", "--registry", &url]);
        hosts.env("VIRTNET_REGISTRY_CA", ca);
        hosts.env("VIRTNET_REGISTRY_CERT", cert);
        hosts.env("VIRTNET_REGISTRY_KEY", &key);
        hosts
    };
    assert_eq!(run(&mut hosts(&ca, &cert)).success(), "");
    assert_eq!(run(hosts(&ca, "/nowhere").args(&two)).success(), "");
    let missing = run(&mut hosts(&ca, "/nowhere")).usage_error();
    assert!(missing.contains("\"/nowhere\""), "{missing}");
    let stranger = run(command(&["hosts", "--registry", &url]).args(&two)).failure();
    assert!(stranger.contains("certificate"), "{stranger}");
    let plain = format!("redis://127.0.0.1:{}", server.port());
    let plain = run(command(&["hosts", "--registry", &plain]).args(&all)).usage_error();
    assert!(plain.contains("rediss://"), "{plain}");
    let plain = format!("redis://127.0.0.1:{}", server.port());
    let plain = run(&mut command(&["hosts", "--registry", &plain])).failure();
    assert!(
        plain.contains("uses TLS on this port: use rediss://"),
        "{plain}"
    );
}

#[test]
fn a_server_that_is_not_redis_is_recognised() {
    let redis = RedisServer::start();
    let url = format!("rediss://127.0.0.1:{}", redis.port());
    let plain = run(&mut command(&["hosts", "--registry", &url])).failure();
    assert!(plain.contains("does not use TLS on this port"), "{plain}");

    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = web.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in web.incoming().flatten() {
            use std::io::{Read, Write};
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    for scheme in ["redis", "rediss", "redis+cluster"] {
        let url = format!("{scheme}://{at}");
        let web = run(&mut command(&["hosts", "--registry", &url])).failure();
        assert!(web.contains("got a web server"), "{web}");
    }
    // Also when opening the network.
    let web = run(&mut member(&format!("redis://{at}"), &["listen", "β:1"])).failure();
    assert!(web.contains("got a web server"), "{web}");
}

/// One process of a run, on the network of that run.
fn on(network: &str, server: &RedisServer, args: &[&str]) -> Running {
    start(member(&server.url(), args).env("VIRTNET_NETWORK", network))
}

#[test]
fn runs_with_the_same_hosts_share_one_server_and_do_not_meet() {
    let server = RedisServer::start();
    let runs = ["job-1", "job-2"];
    let mut listeners = runs.map(|run| on(run, &server, &["listen", "β:1"]));
    for listener in &mut listeners {
        listener.wait_for("listening β:1");
    }
    let list = |network: &str| {
        let hosts = on(network, &server, &["hosts"]).end().success();
        assert_eq!(hosts.lines().count(), 1, "{hosts}");
        hosts.split('\t').nth(1).unwrap().to_owned()
    };
    assert_ne!(list(runs[0]), list(runs[1]), "each has its own β");
    // Both dial before either is accepted, each from its own α.
    let mut dialers = runs.map(|run| on(run, &server, &["dial", "--from", "α", "β:1"]));
    for (dialer, run) in dialers.iter_mut().zip(runs) {
        dialer.wait_for("connected α:1->β:2");
        dialer.write(run);
        dialer.close_stdin();
    }
    // One run ends, and the other goes on.
    let [first, second] = listeners;
    let [dialed, other] = dialers;
    for (mut listener, dialer, run) in [(first, dialed, runs[0]), (second, other, runs[1])] {
        listener.close_stdin();
        assert_eq!(listener.end().success(), run);
        assert_eq!(dialer.end().success(), "");
        let left = on(run, &server, &["wait", "α", "--timeout", "0"]).end();
        assert!(left.failure().ends_with("there was no \"α\""));
    }
    assert_eq!(server.keys(), [""; 0]);
}
