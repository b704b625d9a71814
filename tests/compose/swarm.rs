//! `examples/swarm`: the environment of docker-compose.yml on two machines, as a stack with an overlay
//! network between them.
//!
//! Owns what docs/many-machines.md says about it: where hosts are, which address they announce, and
//! how large their packets are. Never names a host's address.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::docker::{output, until};
use crate::machines::{Machines, On};
use crate::support::SECRET;
use crate::talk::Talk;

/// Where the test puts the services.
const ALPHA: (On, &str) = (On::First, "alpha");
const BETA: (On, &str) = (On::Second, "beta");
const GAMMA: (On, &str) = (On::Second, "gamma");

/// What an overlay network's packets have left for a datagram: 1500 bytes, less 50 for VXLAN, 20 for IP and 8 for UDP.
const DATAGRAM: usize = 1422;

/// A Swarm with the stack on it, all of its hosts on the network.
fn deployed() -> Machines {
    let machines = Machines::start();
    let first = |args: &[&str]| machines.run(On::First, args);
    first(&["swarm", "init", "--advertise-addr", "10.87.0.1"]);
    let token = first(&["swarm", "join-token", "-q", "worker"]);
    let join = ["swarm", "join", "--token", &token, "10.87.0.1:2377"];
    machines.run(On::Second, &join);
    for (on, service) in [ALPHA, BETA, GAMMA] {
        let (label, node) = (format!("{service}=true"), format!("machine{}", on as u8));
        first(&["node", "update", "--label-add", &label, &node]);
    }
    let secret = machines.folder().join("secret");
    fs::write(&secret, SECRET).expect("the folder is there");
    let secret = secret.to_str().expect("it is text");
    first(&["secret", "create", "virtnet", secret]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/swarm/virtnet.yaml");
    // There is no registry of images to ask.
    let deploy = ["stack", "deploy", "--resolve-image", "never", "-c", file];
    first(&[&deploy[..], &["virtnet"]].concat());
    // What starts before Redis does ends, and is started again.
    until("all hosts are there", || {
        let wait = ["wait", "α", "β", "γ", "--timeout", "5"];
        succeeds(&machines, BETA, &wait)
    });
    machines
}

/// Runs an image on the second machine, as a program that is not part of the stack, and returns its stdout.
fn joining(machines: &Machines, options: &[&str], image: &str, args: &[&str]) -> String {
    let secret = format!("VIRTNET_SECRET={SECRET}");
    let mut run = vec!["run", "--rm", "--network", "virtnet", "-e", &secret];
    for variable in ["VIRTNET_NETWORK=swarm", "VIRTNET_REGISTRY=redis://redis"] {
        run.extend(["-e", variable]);
    }
    run.extend(options);
    run.push(image);
    run.extend(args);
    machines.run(On::Second, &run)
}

/// Runs the command in a service's container, which must succeed, and returns its stdout.
#[track_caller]
fn virtnet(machines: &Machines, at: (On, &str), args: &[&str]) -> String {
    let mut command = machines.virtnet(at, args);
    command.close_stdin();
    command.end().success()
}

/// Whether a service has a container, in which the command succeeds.
fn succeeds(machines: &Machines, (on, service): (On, &str), args: &[&str]) -> bool {
    machines.container(on, service).is_some_and(|container| {
        let mut exec = machines.docker(on, &["exec", &container, "/usr/local/bin/virtnet"]);
        output(exec.args(args)).status.success()
    })
}

/// Whether the host is announced at its task's address in the overlay network.
fn is_announced(machines: &Machines, name: &str, (on, service): (On, &str)) -> bool {
    let Some(container) = machines.container(on, service) else {
        return false;
    };
    let address = "{{.NetworkSettings.Networks.virtnet.IPAddress}}";
    let address = machines.run(on, &["inspect", "-f", address, &container]);
    let hosts = virtnet(machines, BETA, &["hosts"]);
    let announced = hosts.lines().find(|line| line.starts_with(name));
    println!("swarm: {service}'s task has {address}, and announces {announced:?}");
    hosts.contains(&format!("{name}\t{address}:"))
}

#[test]
#[ignore = "needs two Docker engines, root and the images: tests/run.sh builds them and runs it"]
fn a_stack_on_two_machines() {
    let began = Instant::now();
    let machines = deployed();
    println!(
        "swarm: two machines and a stack after {:.1?}",
        began.elapsed()
    );

    // The test of docker-compose.yml, from outside the stack: predicted addresses, 64 MiB each way.
    let ran = Instant::now();
    let said = joining(&machines, &[], "virtnet-runner", &[]);
    println!("swarm: the runner took {:.1?}: {said}", ran.elapsed());
    assert!(said.contains("passed: 10 events as expected"), "{said}");

    for (name, at) in [("α", ALPHA), ("β", BETA), ("γ", GAMMA)] {
        assert!(is_announced(&machines, name, at), "{name}");
    }
    faults(&machines);
    packet_sizes(&machines);
    made_again(&machines);
    println!("swarm: all after {:.1?}", began.elapsed());
}

/// A cut between hosts on different machines, set by a third one.
fn faults(machines: &Machines) {
    let talk = |at, from| {
        let dial = ["dial", "--from", from, "α:1", "--within", "20"];
        Talk::over(machines.virtnet(at, &dial))
    };
    let (mut cut, mut other) = (talk(BETA, "x"), talk(GAMMA, "y"));
    let fault = ["fault", "cut", "x", "α", "--both", "--for", "60"];
    virtnet(machines, GAMMA, &fault);
    cut.asks("through the cut");
    other.goes_on();
    // Seen from the dialing end's machine and from the other's.
    for rule in ["cut x -> α\t", "cut α -> x\t"] {
        until("the cut has dropped packets", || {
            let listed = virtnet(machines, ALPHA, &["faults"]);
            let counted = listed.lines().find_map(|line| line.strip_prefix(rule));
            let counted = counted.unwrap_or_else(|| panic!("{rule}: {listed}"));
            !counted.starts_with("0\t0\t")
        });
    }
    virtnet(machines, GAMMA, &["fault", "heal"]);
    cut.hears("through the cut");
    cut.end();
    other.end();
}

/// Swarm replaces a task that ends by another, which has another address.
fn made_again(machines: &Machines) {
    let before = machines.container(On::First, "alpha").expect("it runs");
    machines.run(On::First, &["stop", &before]);
    let took = until("α is announced again", || {
        machines
            .container(On::First, "alpha")
            .is_some_and(|now| now != before)
            && is_announced(machines, "α", ALPHA)
    });
    println!("swarm: a task that ended is back after {took:.1?}");
    virtnet(
        machines,
        BETA,
        &["ping", "--count", "1", "--from", "w", "α:1"],
    );
}

/// Datagrams become as large as the overlay network carries, and no larger one is sent.
fn packet_sizes(machines: &Machines) {
    let logs = machines.folder().join("qlog");
    fs::create_dir(&logs).expect("the folder is there");
    // The command as it was built for this test, with qlog, and the libraries that it needs.
    let command = Path::new(env!("CARGO_BIN_EXE_virtnet"));
    let mut mounts = vec![
        format!("{}:/virtnet:ro", command.display()),
        format!("{}:/qlog", logs.display()),
    ];
    let libraries = ["/usr", "/lib", "/lib64"].into_iter();
    let libraries = libraries.filter(|folder| Path::new(folder).exists());
    mounts.extend(libraries.map(|folder| format!("{folder}:{folder}:ro")));
    let mut options = vec![
        "-u",
        "0",
        "-e",
        "VIRTNET_QLOG=/qlog",
        "--entrypoint",
        "/virtnet",
    ];
    options.extend(mounts.iter().flat_map(|mount| ["-v", mount]));
    let ping = ["ping", "-c", "1", "--from", "z", "--size", "1048576", "α:1"];
    println!("swarm: {}", joining(machines, &options, "virtnet", &ping));

    let mut sizes = Vec::<usize>::new();
    for log in fs::read_dir(logs).expect("it is there") {
        let log = fs::read_to_string(log.expect("it can be listed").path()).expect("it is text");
        let sent = log.lines().filter(|line| line.contains("packet_sent"));
        let length = |line: &str| {
            let (_, rest) = line.split_once("\"length\":")?;
            rest.split(|it: char| !it.is_ascii_digit())
                .next()?
                .parse::<usize>()
                .ok()
        };
        sizes.extend(sent.filter_map(length));
    }
    let full = sizes.iter().filter(|size| **size == DATAGRAM).count();
    let largest = sizes.iter().copied().max();
    println!(
        "swarm: {full} of {} packets have {DATAGRAM} bytes",
        sizes.len()
    );
    assert_eq!(largest, Some(DATAGRAM));
    assert!(full > sizes.len() / 2, "{sizes:?}");
}
