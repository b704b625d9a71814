//! The errors in the page's table.
//!
//! Owns the mistakes that cause them. Never breaks a path: the other files do.

use std::process::Command;

use crate::page;
use crate::support::{OTHER_SECRET, run, start};
use crate::talk::{exchange, listening, refused};
use crate::world::{At, CloudA, CloudB, World};

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn mistakes_are_named_as_the_page_says() {
    let world = World::new();
    page::tells(&refused(&world, CloudB, "α", "β"));
    let _listener = listening(&world, CloudA, "β");
    page::tells(&run(&mut world.virtnet(CloudB, &["listen", "β:1"])).failure());
    let mut stranger = world.virtnet(CloudB, &["dial", "--from", "α", "β:1"]);
    stranger.env("VIRTNET_SECRET", OTHER_SECRET);
    page::tells(&run(&mut stranger).failure());

    let mut nowhere = world.virtnet(CloudB, &["dial", "--from", "α", "β:1"]);
    nowhere.env("VIRTNET_REGISTRY", "redis://10.3.0.2:6380");
    let refused = run(&mut nowhere).failure();
    page::tells(&refused.replace("10.3.0.2:6380", "10.3.0.2"));

    let mut policy = Command::new("redis-cli");
    policy.args(["-h", &At::Redis.ip(), "config", "set"]);
    policy.args(["maxmemory-policy", "volatile-lru"]);
    let set = world.on(CloudA, &policy).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&set.stdout), "OK\n");
    let warned = run(&mut world.virtnet(CloudA, &["wait", "β"]));
    let said = warned.stderr.join("\n");
    // The page leaves out which registry and network it is about.
    page::tells(said.split(" registry=").next().unwrap());
    warned.success();
}

#[test]
#[ignore = "needs root, iproute2 and iptables: tests/run.sh runs it"]
fn a_secret_is_changed_as_the_page_says_while_the_network_runs() {
    let world = World::new();
    let (old, new) = (crate::support::SECRET, OTHER_SECRET);
    let both = format!("{old},{new}");
    let swapped = format!("{new},{old}");
    // Each step, and processes that have not taken it yet.
    for (listens, dials) in [
        (old, &*both),
        (&both, old),
        (&both, &swapped),
        (&swapped, &both),
        (&swapped, new),
        (new, &swapped),
    ] {
        let mut listener = world.virtnet(CloudA, &["listen", "β:1"]);
        let mut listener = start(listener.env("VIRTNET_SECRET", listens));
        listener.wait_for("listening β:1");
        let mut dialer = world.virtnet(CloudB, &["dial", "--from", "α", "β:1"]);
        let mut dialer = start(dialer.env("VIRTNET_SECRET", dials));
        dialer.wait_for("connected α:1->β:2");
        exchange(listener, dialer);
    }
    // A skipped step.
    let mut listener = world.virtnet(CloudA, &["listen", "β:1"]);
    let mut listener = start(listener.env("VIRTNET_SECRET", &swapped));
    listener.wait_for("listening β:1");
    refused(&world, CloudB, "α", "β");
}
