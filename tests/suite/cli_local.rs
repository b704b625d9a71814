//! The command without any setup: two processes of one user, without a server, a secret or
//! a variable.
//!
//! Owns how users see the folder in their runtime directory. Never reads the format of its
//! files: the tests of registry-local do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::support::{OTHER_SECRET, Running, command, run, start};
use serde_json::Value;
use tempfile::TempDir;

/// An empty runtime directory, as before a user's first command.
fn runtime() -> TempDir {
    let mut folder = tempfile::Builder::new();
    folder.permissions(Permissions::from_mode(0o700));
    folder.tempdir().unwrap()
}

fn on(runtime: &Path, args: &[&str]) -> Command {
    let mut command = command(args);
    command.env("XDG_RUNTIME_DIR", runtime);
    command
}

fn listening(runtime: &Path, addr: &str) -> Running {
    let mut listener = start(&mut on(runtime, &["listen", addr]));
    listener.wait_for(&format!("listening {addr}"));
    listener
}

/// The only entry of a folder.
fn only(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).unwrap();
    let entry = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none(), "{folder:?}");
    entry
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn two_processes_without_any_setting_find_each_other() {
    let runtime = runtime();
    let runtime = runtime.path();
    // Listing creates nothing.
    assert_eq!(run(&mut on(runtime, &["hosts"])).success(), "");
    assert_eq!(fs::read_dir(runtime).unwrap().count(), 0);

    let waiting = start(&mut on(runtime, &["wait", "β"]));
    let mut listener = listening(runtime, "β:1");
    assert_eq!(waiting.end().success(), "");
    let mut dialer = start(&mut on(runtime, &["dial", "--from", "α", "β:1"]));
    dialer.wait_for("connected α:1->β:2");
    listener.wait_for("connected α:1->β:2");

    let text = run(&mut on(runtime, &["hosts"])).success();
    let objects = run(&mut on(runtime, &["hosts", "--json"])).success();
    let objects: Vec<Value> = objects
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((text.lines().count(), objects.len()), (2, 2), "{text}");
    for ((line, object), host) in text.lines().zip(&objects).zip(["α", "β"]) {
        let cells: Vec<_> = line.split('\t').collect();
        assert_eq!((cells[0], &object["host"]), (host, &host.into()));
        assert!(cells[1].starts_with("127.0.0.1:"), "{text}");
        assert_eq!(cells[2], format!("pid {}", object["pid"]));
        assert!(object["pid"].as_u64().unwrap() > 0 && object["lease_ms"].is_null());
        let owner = object["owner"].as_str().unwrap();
        assert_eq!((owner.len(), cells[3]), (32, &owner[..8]));
    }
    assert_ne!(objects[0]["owner"], objects[1]["owner"]);

    let load: Vec<u8> = (0..1_000_000).map(|i| (i / 7) as u8).collect();
    dialer.write(&load);
    dialer.close_stdin();
    listener.write("and back");
    listener.close_stdin();
    assert_eq!(dialer.end().success(), "and back");
    let copied = listener.end();
    assert_eq!((copied.code, copied.stdout == load), (Some(0), true));

    // Only the secret stays, which no other user can read.
    let network = only(&runtime.join("virtnet"));
    let secret = only(&network);
    assert_eq!(secret.file_name().unwrap(), "secret");
    assert_eq!((mode(&network), mode(&secret)), (0o700, 0o600));
    assert_eq!(fs::read_to_string(&secret).unwrap().trim().len(), 64);
}

#[test]
fn networks_and_folders_do_not_meet() {
    let runtime = runtime();
    let other = self::runtime();
    let _listener = listening(runtime.path(), "β:1");
    let folder = format!("local:{}", other.path().display());
    for elsewhere in [["--network", "another"], ["--registry", &folder]] {
        let hosts = |args: &[&str]| run(on(runtime.path(), args).args(elsewhere)).success();
        assert_eq!(hosts(&["hosts"]), "");
        let mut same = start(on(runtime.path(), &["listen", "β:1"]).args(elsewhere));
        same.wait_for("listening β:1");
        assert!(hosts(&["hosts"]).starts_with("β\t127.0.0.1:"));
    }
    // A demo has its own network by default.
    let networks = || {
        fs::read_dir(runtime.path().join("virtnet"))
            .unwrap()
            .count()
    };
    assert_eq!(networks(), 2);
    run(&mut on(runtime.path(), &["demo"])).success();
    assert_eq!(networks(), 2);
    run(&mut on(runtime.path(), &["demo", "--registry", "local:"])).success();
    assert_eq!(networks(), 3);
}

#[test]
fn a_name_belongs_to_its_process_until_that_ends() {
    let runtime = runtime();
    let runtime = runtime.path();
    let mut listener = listening(runtime, "β:1");
    let pid = {
        let object = run(&mut on(runtime, &["hosts", "--json"])).success();
        serde_json::from_str::<Value>(&object).unwrap()["pid"].clone()
    };
    let taken = || run(&mut on(runtime, &["listen", "β:1"])).failure();
    let said = format!("host already registered: process {pid} holds it");
    assert!(taken().ends_with(&said), "{}", taken());
    // A stopped process still holds its name.
    listener.signal("STOP");
    assert!(taken().ends_with(&said), "{}", taken());
    let waited = run(&mut on(runtime, &["wait", "β", "--timeout", "0"]));
    assert_eq!(waited.success(), "");

    listener.kill();
    let begun = Instant::now();
    assert_eq!(run(&mut on(runtime, &["hosts"])).success(), "");
    let nobody = run(&mut on(runtime, &["dial", "--from", "α", "β:1"])).failure();
    assert!(nobody.ends_with("no such host"), "{nobody}");
    let successor = listening(runtime, "β:1");
    println!("killed, and taken again after {:.1?}", begun.elapsed());

    // A process that waits for the name gets it as soon as it is free.
    let mut next = start(on(runtime, &["listen", "β:1"]).args(["--within", "60"]));
    successor.signal("TERM");
    assert_eq!(successor.end().code, Some(143));
    next.wait_for("listening β:1");
}

#[test]
fn a_given_secret_replaces_the_folders() {
    let runtime = runtime();
    let runtime = runtime.path();
    let given = |args: &[&str]| start(on(runtime, args).env("VIRTNET_SECRET", OTHER_SECRET));
    let mut listener = given(&["listen", "β:1"]);
    listener.wait_for("listening β:1");
    let refused = run(&mut on(runtime, &["dial", "--from", "α", "β:1"])).failure();
    assert!(refused.contains("secret"), "{refused}");
    let mut dialer = given(&["dial", "--from", "γ", "β:1"]);
    dialer.wait_for("connected γ:1->β:2");
    dialer.close_stdin();
    listener.close_stdin();
    dialer.end().success();
    listener.end().success();
}

#[test]
fn errors_about_the_folder_name_it() {
    let runtime = runtime();
    let folder = runtime.path().join("virtnet");
    let shown = folder.to_str().unwrap();
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    // Also when listing, although the network's folder does not exist yet.
    for args in [&["listen", "β:1"][..], &["wait", "β"], &["hosts"]] {
        let open = run(&mut on(runtime.path(), args)).failure();
        assert!(open.contains(shown) && open.contains("chmod 700"), "{open}");
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    drop(listening(runtime.path(), "β:1"));
    let secret = only(&folder).join("secret");
    fs::write(&secret, "half of it").unwrap();
    let half = run(&mut on(runtime.path(), &["listen", "β:1"])).usage_error();
    assert!(half.contains(secret.to_str().unwrap()), "{half}");
    // Listing needs no secret.
    let nobody = run(&mut on(runtime.path(), &["hosts"]));
    let said =
        format!("virtnet: no hosts on network \"virtnet\" at local:, which is {shown:?} for user ");
    assert!(nobody.stderr[0].starts_with(&said), "{nobody:?}");
    assert_eq!(nobody.success(), "");

    let nowhere = run(&mut command(&[
        "hosts",
        "--registry",
        "local:/proc/virtnet",
    ]));
    assert_eq!(nowhere.success(), "");
    let nowhere = run(&mut command(&[
        "listen",
        "β:1",
        "--registry",
        "local:/proc/virtnet",
    ]));
    let nowhere = nowhere.failure();
    assert!(
        nowhere.contains("registry is down") && nowhere.contains("\"/proc/virtnet\""),
        "{nowhere}"
    );
}

#[test]
fn without_a_runtime_directory_the_folder_is_in_the_temporary_directory() {
    let temp = runtime();
    // Unset, empty, relative, and a missing directory.
    let vars = [None, Some(""), Some("here"), Some("/nowhere")];
    let on = |var: Option<&str>, args: &[&str]| {
        let mut command = command(args);
        command
            .env("TMPDIR", temp.path())
            .env_remove("XDG_RUNTIME_DIR");
        command.envs(var.map(|var| ("XDG_RUNTIME_DIR", var)));
        command
    };
    let mut listener = start(&mut on(None, &["listen", "β:1"]));
    listener.wait_for("listening β:1");
    for var in vars {
        let hosts = run(&mut on(var, &["hosts"])).success();
        assert!(hosts.starts_with("β\t127.0.0.1:"), "{var:?}: {hosts}");
    }
    let folder = only(temp.path());
    let name = folder.file_name().unwrap().to_str().unwrap();
    let user = name.strip_prefix("virtnet-").expect(name);
    assert!(user.parse::<u32>().is_ok(), "{name}");
    assert_eq!(mode(&folder), 0o700);
}

#[test]
fn variables_set_where_debug_logs_are_written() {
    let runtime = runtime();
    let runtime = runtime.path();
    let (keys, logs) = (runtime.join("keys"), runtime.join("logs"));
    let _listener = listening(runtime, "β:1");
    let ping = |vars: &[(&str, &Path)]| {
        let mut ping = on(runtime, &["ping", "-c", "1", "β"]);
        ping.env_remove("SSLKEYLOGFILE").envs(vars.iter().copied());
        run(&mut ping)
    };
    let yes = Path::new("yes");
    assert_eq!(
        ping(&[("VIRTNET_KEYLOG", yes)]).usage_error(),
        "VIRTNET_KEYLOG: expected SSLKEYLOGFILE in the environment to name the file, but it is not set"
    );
    let nowhere = Path::new("/nowhere/keys");
    let said = ping(&[("VIRTNET_KEYLOG", yes), ("SSLKEYLOGFILE", nowhere)]).usage_error();
    let expected = "VIRTNET_KEYLOG: SSLKEYLOGFILE \"/nowhere/keys\" cannot be written: ";
    assert!(said.starts_with(expected), "{said}");
    ping(&[("SSLKEYLOGFILE", &keys)]).success();
    assert!(!keys.exists(), "it was not asked for");
    ping(&[("VIRTNET_KEYLOG", yes), ("SSLKEYLOGFILE", &keys)]).success();
    let logged = fs::read_to_string(keys).unwrap();
    assert!(logged.contains("CLIENT_TRAFFIC_SECRET_0"), "{logged}");

    let ended = ping(&[("VIRTNET_QLOG", &logs)]);
    if cfg!(feature = "qlog") {
        ended.success();
        assert!(fs::metadata(only(&logs)).unwrap().len() > 0);
    } else {
        let said = ended.usage_error();
        assert!(
            said.starts_with(&format!("VIRTNET_QLOG {logs:?}: ")),
            "{said}"
        );
        assert!(said.contains("without virtnet's feature `qlog`"), "{said}");
    }
}
