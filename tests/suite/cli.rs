//! The command's small parts: `demo`, `keygen`, `name`, and errors of settings and addresses.
//!
//! Owns what is on stdout and stderr, line by line. Never pipes data, which `cli_pipe.rs`
//! does, and never lists hosts, which `cli_hosts.rs` does.

use crate::support::{Ended, OTHER_SECRET, command, member, run, start};
use serde_json::Value;
use virtnet_testkit::redis::{RedisServer, free_port, new_dir};

/// What `demo --json` printed, one object a line.
fn events(demo: Ended) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).expect("every line is JSON");
    demo.success().lines().map(parse).collect()
}

#[test]
fn the_demo_is_the_same_on_every_run() {
    let text = run(&mut command(&["demo"])).success();
    assert_eq!(text, run(&mut command(&["demo"])).success());
    for line in [
        "error     α:1  -> α:0   connection refused",
        "accept    β:1  -> α:2",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{text}");
    }
    assert!(text.ends_with("every address as predicted\n"), "{text}");

    let events = events(run(&mut command(&["demo", "--json"])));
    for event in &events {
        for key in ["event", "src", "dst"] {
            assert!(event[key].is_string(), "{event}");
        }
    }
    assert_eq!(events.last().unwrap()["event"], "summary");
    assert_eq!(events[3]["error"], "connection refused");
}

#[test]
fn the_demo_leaves_nothing_in_redis() {
    let server = RedisServer::start();
    let in_memory = events(run(&mut command(&["demo", "--json"])));
    // Two at the same time do not meet: each has its own network.
    let demo = || {
        start(&mut command(&[
            "demo",
            "--registry",
            &server.url(),
            "--json",
        ]))
    };
    for demo in [demo(), demo()] {
        assert_eq!(events(demo.end()), in_memory);
    }
    assert_eq!(server.keys(), [""; 0]);
}

#[test]
fn every_secret_is_new_and_has_64_digits() {
    let [one, two] = [(); 2].map(|()| run(&mut command(&["keygen"])).success());
    for line in [&one, &two] {
        assert_eq!(line.len(), 65, "{line}");
        assert!(
            line.trim_end().bytes().all(|b| b.is_ascii_hexdigit()),
            "{line}"
        );
    }
    assert_ne!(one, two);
}

#[test]
fn a_secrets_file_is_its_owners_and_never_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let dir = new_dir();
    let file = dir.join("secret");
    let path = file.to_str().unwrap();
    let keygen = || run(&mut command(&["keygen", "--out", path]));
    assert_eq!(keygen().success(), "");
    let secret = std::fs::read_to_string(&file).unwrap();
    assert_eq!(secret.len(), 65);
    let mode = |file| std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    let again = keygen().failure();
    assert!(again.starts_with(&format!("--out {path:?}: ")), "{again}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);

    // A file that everybody can read is used with a warning; the group may read it.
    let registry = format!("local:{}", dir.join("net").to_str().unwrap());
    let ping = |mode| {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let args = ["ping", "β", "-c", "1", "--registry", &registry];
        run(command(&args).args(["--secret-file", path])).stderr
    };
    let unanswered = "virtnet: 1 of 1 pings were not answered".to_owned();
    assert_eq!(ping(0o640), [&*unanswered]);
    let warning = format!(
        "virtnet: warning: every user can read the file {path:?} with the secret (mode 444)"
    );
    assert_eq!(ping(0o444), [warning, unanswered]);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_name_for_a_certificate_depends_on_network_and_host() {
    let name = |args: &[&str]| run(&mut command(args)).success();
    let alpha = name(&["name", "α"]);
    assert_eq!(alpha.trim_end(), virtnet::quic::dns_name("virtnet", "α"));
    assert_ne!(alpha, name(&["name", "β"]));
    assert_ne!(alpha, name(&["--network", "quicα", "name", "α"]));
}

#[test]
fn a_bad_setting_is_named_and_no_secret_is_shown() {
    let dial = ["dial", "--from", "α", "β:1"];
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    for (name, value, said) in [
        (
            "VIRTNET_REGISTRY",
            "memory:",
            "that other processes can reach",
        ),
        (
            "VIRTNET_REGISTRY",
            "local:here",
            "VIRTNET_REGISTRY \"local:here\": expected local:",
        ),
        (
            "VIRTNET_REGISTRY",
            "ftp://u:hunter2@h",
            "VIRTNET_REGISTRY \"ftp://***@h\": unknown scheme",
        ),
        (
            "VIRTNET_REGISTRY",
            "redis://u:hunter2@h:x",
            "VIRTNET_REGISTRY \"redis://***@h:x\": expected a port",
        ),
        (
            "VIRTNET_REGISTRY",
            "redis://u:hun#ter2@h",
            "of a password as %2F %3F %23 %40",
        ),
        (
            "VIRTNET_REGISTRY",
            "redis://u:hunter2@h/db",
            "Invalid database number",
        ),
        (
            "VIRTNET_REGISTRY_KEY",
            "x",
            "VIRTNET_REGISTRY_CERT: it is not set",
        ),
        ("VIRTNET_REGISTRY_CA", "x", "the CA file \"x\""),
        ("VIRTNET_LEASE", "0", "lease: expected from 100 ms"),
        ("VIRTNET_SECRET", "", "virtnet keygen"),
        ("VIRTNET_SECRET", "hunter2", "VIRTNET_SECRET: "),
        (
            "VIRTNET_SECRET_FILE",
            "/nowhere",
            "VIRTNET_SECRET: VIRTNET_SECRET_FILE is set as well",
        ),
        (
            "VIRTNET_CERT",
            "/nowhere",
            "VIRTNET_SECRET: VIRTNET_CERT is set as well",
        ),
        (
            "VIRTNET_BIND",
            "everywhere",
            "VIRTNET_BIND \"everywhere\": ",
        ),
        (
            "VIRTNET_BIND",
            "0.0.0.0:8-7",
            "VIRTNET_BIND \"0.0.0.0:8-7\": the range's last port",
        ),
        (
            "VIRTNET_NETWORK",
            "[",
            "VIRTNET_NETWORK: invalid network name \"[\"",
        ),
    ] {
        let reason = run(member(&nowhere, &dial).env(name, value)).usage_error();
        assert!(reason.contains(said), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }
    let server = RedisServer::start();
    let reason =
        run(member(&server.url(), &dial).env("VIRTNET_ADVERTISE", "0.0.0.0")).usage_error();
    assert!(
        reason.starts_with("VIRTNET_ADVERTISE: ") && reason.contains("\"0.0.0.0\""),
        "{reason}"
    );
}

#[test]
fn options_override_variables_before_and_after_the_subcommand() {
    let server = RedisServer::start();
    let file = new_dir().join("secret");
    std::fs::write(&file, format!("{OTHER_SECRET}\n")).unwrap();
    let file = file.to_str().unwrap();
    // The variable's secret is not valid, so it must not be read.
    let mut listener = start(
        member(
            "ftp://nowhere",
            &["--registry", &server.url(), "listen", "β:1"],
        )
        .args(["--secret-file", file, "--network", "quicα"])
        .env("VIRTNET_SECRET", "none"),
    );
    listener.wait_for("listening β:1");
    assert_eq!(server.names(), ["virtnet:{quicα}:β"]);
    listener.signal("INT");
    assert_eq!(listener.end().code, Some(130));
    assert_eq!(server.keys(), [""; 0]);

    for (args, said) in [
        (
            &["--secret-file", file, "--ca", "x"][..],
            "--secret-file cannot be used with --ca, --cert or --key",
        ),
        (
            &["--ca", "x", "--key", "y"],
            "--ca, --cert and --key must be given together",
        ),
        (
            &["--registry-cert", "x"],
            "--registry-cert and --registry-key must be given together",
        ),
    ] {
        let reason = run(member(&server.url(), &["listen", "β:1"]).args(args)).usage_error();
        assert!(reason.contains(said), "{reason}");
    }
    std::fs::remove_dir_all(std::path::Path::new(file).parent().unwrap()).unwrap();
}

#[test]
fn a_registry_that_is_not_there_is_named_without_its_password() {
    let url = format!("redis://user:hunter2@127.0.0.1:{}", free_port());
    for args in [&["hosts"][..], &["listen", "β:1"], &["demo"]] {
        let reason = run(&mut member(&url, args)).failure();
        assert!(reason.contains("registry is down"), "{reason}");
        assert!(reason.contains("127.0.0.1"), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }
}

#[test]
fn bad_addresses_are_named() {
    let server = RedisServer::start();
    for (args, said) in [
        (
            &["listen", "β"][..],
            "\"β\": expected host:port, got no port",
        ),
        (&["listen", ":1"], "\":1\": expected host:port, got no host"),
        (
            &["listen", "β:70000"],
            "\"β:70000\": the port must be at most 65535",
        ),
        (
            &["dial", "--from", "α", "β"],
            "\"β\": expected host:port, got no port",
        ),
        (&["dial", "--from", "", "β:1"], "invalid hostname \"\""),
        (&["dial", "--from", "α:1", "β:1"], "invalid host \"α:1\""),
        (&["ping", "--from", "α:1", "β:1"], "invalid host \"α:1\""),
        (&["wait", "α", "β:1"], "invalid host \"β:1\""),
        (&["name", "β:1"], "invalid host \"β:1\""),
        (&["name", "[x"], "invalid hostname \"[x\""),
    ] {
        let reason = run(&mut member(&server.url(), args)).usage_error();
        assert!(reason.contains(said), "{reason}");
    }
    // A name with a colon is in brackets, as in an address.
    let name = run(&mut command(&["name", "[a:b]"])).success();
    assert_eq!(name.trim_end(), virtnet::quic::dns_name("virtnet", "a:b"));
    let from = run(member(&server.url(), &["ping", "β"]).env("VIRTNET_HOST", "α:1")).usage_error();
    assert!(
        from.starts_with("VIRTNET_HOST: invalid host \"α:1\""),
        "{from}"
    );
    assert_eq!(server.keys(), [""; 0]);
}
