//! What happened in three containers, as one trace.
//!
//! Owns the expected sequence, and the folders in which each container leaves its files. Never causes a fault.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use virtnet::trace::{Trace, read_text};

use crate::docker::Project;
use crate::support::{command, start};
use crate::talk::Talk;

const SERVICES: [&str; 3] = ["alpha", "beta", "gamma"];

/// A folder of each container, deleted when this is dropped.
struct Folders(PathBuf);

impl Folders {
    fn new() -> Folders {
        let name = format!("virtnet-test-traces-{}", std::process::id());
        let folders = Folders(std::env::temp_dir().join(name));
        for service in SERVICES {
            let folder = folders.of(service);
            fs::create_dir_all(&folder).unwrap();
            // The containers' user is another one.
            fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        }
        folders
    }

    fn of(&self, service: &str) -> PathBuf {
        self.0.join(service)
    }

    /// The compose file by which each container records.
    fn overrides(&self) -> String {
        let services = SERVICES.map(|service| {
            let folder = self.of(service);
            format!(
                "  {service}: {{environment: {{VIRTNET_TRACE: /traces}}, volumes: [\"{}:/traces\"]}}\n",
                folder.display()
            )
        });
        format!("services:\n{}", services.concat())
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a host that echoes has recorded, and who dialed it.
fn of_echo(host: &str, guest: &str) -> Vec<String> {
    let end = format!("{host}:2 <- {guest}:1");
    vec![
        format!("{host} made"),
        format!("{host}:1 listening"),
        format!("{end} accepted"),
        format!("{end} received first byte"),
        format!("{end} sent first byte"),
        format!("{end} received end after 15 bytes"),
        format!("{end} closed after 15 bytes sent, 15 received"),
        format!("{host}:1 stopped listening"),
        format!("{host} closed"),
    ]
}

fn of_guest(guest: &str, host: &str) -> Vec<String> {
    let end = format!("{guest}:1 -> {host}:2");
    vec![
        format!("{guest} made"),
        format!("{guest}:1 -> {host}:1 dialing"),
        format!("{end} connected"),
        format!("{end} sent first byte"),
        format!("{end} received first byte"),
        format!("{end} sent end after 15 bytes"),
        format!("{end} received end after 15 bytes"),
        format!("{end} closed after 15 bytes sent, 15 received"),
        format!("{guest} closed"),
    ]
}

#[test]
#[ignore = "needs Docker and the images: tests/run.sh builds them and runs it"]
fn three_containers_make_one_trace() {
    let folders = Folders::new();
    let project = Project::new(Some(&folders.overrides()));
    project.run(&["up", "-d", "alpha", "beta", "gamma"]);
    project.all_there();
    let dials = [("beta", "x", "α"), ("gamma", "y", "β"), ("alpha", "z", "γ")];
    for (service, guest, host) in dials {
        Talk::open(&project, service, guest, &format!("{host}:1")).end();
    }
    // Their files are complete when they have ended.
    project.run(&["stop", "alpha", "beta", "gamma"]);

    let paths = SERVICES.map(|service| folders.of(service).display().to_string());
    let mut merge = vec!["trace", "merge"];
    merge.extend(paths.iter().map(String::as_str));
    let merged = start(&mut command(&merge)).end();
    // It warns of a file that is not complete.
    assert_eq!(merged.stderr, [""; 0]);
    let lines = merged.success();
    let trace = Trace::merge(read_text(&lines).unwrap().records).unwrap();
    let mut check = trace.check();
    for (_, guest, host) in dials {
        check = check
            .host(host, of_echo(host, guest))
            .host(guest, of_guest(guest, host));
        let (out, back) = (
            format!("{guest}:1 -> {host}:2"),
            format!("{host}:2 <- {guest}:1"),
        );
        // What one container did, in the other one, whatever their clocks say.
        for (first, then) in [
            (
                format!("{guest}:1 -> {host}:1 dialing"),
                format!("{back} accepted"),
            ),
            (format!("{back} accepted"), format!("{out} connected")),
            (
                format!("{out} sent first byte"),
                format!("{back} received first byte"),
            ),
            (
                format!("{back} sent first byte"),
                format!("{out} received first byte"),
            ),
            (
                format!("{out} sent end *"),
                format!("{back} received end *"),
            ),
        ] {
            check = check.before(first, then);
        }
    }
    // In the network, nothing that β did led to anything at γ.
    check
        .concurrent("β made", "γ closed")
        .finish()
        .unwrap_or_else(|why| panic!("{why}\n{}", trace.table()));
}
