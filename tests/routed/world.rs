//! A test's world: two clouds, a third subnet with Redis, and a router between them, each in
//! a network namespace.
//!
//! Owns the namespaces, their links and routes, the router's rules, and the server.
//! Dropping the value removes all of it, also when a test fails. Never touches the network
//! of the machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::page;
use crate::support::{self, BOUND};

/// Where the world's Redis is.
const REGISTRY: &str = "redis://10.3.0.2";

/// The rules that let TCP to Redis and back through a stateless router.
pub(crate) const REDIS_BOTH_WAYS: [&str; 2] = [
    "-p tcp -d 10.3.0.2 --dport 6379 -j ACCEPT",
    "-p tcp -s 10.3.0.2 --sport 6379 -j ACCEPT",
];

/// A machine. Each has its own subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// 10.1.0.2
    CloudA = 1,
    /// 10.2.0.2
    CloudB = 2,
    /// 10.3.0.2, where Redis is
    Redis = 3,
}

pub(crate) use At::{CloudA, CloudB};

const MACHINES: [At; 3] = [CloudA, CloudB, At::Redis];

impl At {
    fn address(self, last: u8) -> String {
        format!("10.{}.0.{last}", self as u8)
    }

    pub(crate) fn ip(self) -> String {
        self.address(2)
    }

    fn subnet(self) -> String {
        format!("{}/24", self.address(0))
    }

    /// The router's interface to it.
    pub(crate) fn link(self) -> String {
        format!("to-{}", self as u8)
    }

    /// The router's routing table from one machine to another.
    fn table(self, to: At) -> u8 {
        10 * self as u8 + to as u8
    }
}

/// Dropping it kills Redis and removes the namespaces.
pub(crate) struct World {
    name: String,
    redis: Option<Child>,
}

impl World {
    /// A world in which every machine reaches every other, with an MTU of 1500 bytes.
    pub(crate) fn new() -> World {
        World::with_mtu(1500)
    }

    pub(crate) fn with_mtu(mtu: u16) -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // From here on, dropping it removes what exists.
        let mut world = World {
            name: format!("virtnet-{}-{next}", std::process::id()),
            redis: None,
        };
        run(&format!("ip netns add {}", world.router()));
        for at in MACHINES {
            world.attach(at, mtu);
        }
        for (from, to) in pairs() {
            let (table, from, to) = (from.table(to), from.subnet(), to.subnet());
            world.route(&format!("ip rule add from {from} to {to} lookup {table}"));
        }
        world.route("sysctl -qw net.ipv4.ip_forward=1");
        world.redis = Some(world.start_redis());
        world
    }

    fn attach(&self, at: At, mtu: u16) {
        let (machine, router, link) = (self.namespace(at), self.router(), at.link());
        let (ip, gateway) = (at.ip(), at.address(1));
        for command in [
            format!("ip netns add {machine}"),
            format!(
                "ip link add eth0 netns {machine} mtu {mtu} type veth \
                 peer name {link} netns {router} mtu {mtu}"
            ),
            format!("ip -n {router} addr add {gateway}/24 dev {link}"),
            format!("ip -n {router} link set dev {link} up"),
            format!("ip -n {machine} addr add {ip}/24 dev eth0"),
            format!("ip -n {machine} link set dev lo up"),
            format!("ip -n {machine} link set dev eth0 up"),
            format!("ip -n {machine} route add default via {gateway}"),
        ] {
            run(&command);
        }
    }

    /// Gives all of them IPv6 as well: fd00:1::2 to fd00:3::2.
    pub(crate) fn add_ipv6(&self) {
        let router = self.router();
        for at in MACHINES {
            let (machine, link, net) = (self.namespace(at), at.link(), at as u8);
            // Without duplicate address detection: the addresses are usable at once.
            for command in [
                format!("ip -n {router} addr add fd00:{net}::1/64 dev {link} nodad"),
                format!("ip -n {machine} addr add fd00:{net}::2/64 dev eth0 nodad"),
                format!("ip -n {machine} route add default via fd00:{net}::1"),
            ] {
                run(&command);
            }
        }
        self.route("sysctl -qw net.ipv6.conf.all.forwarding=1");
        // Neighbours do not answer before duplicate address detection of the link-local
        // addresses has finished.
        let namespaces = MACHINES.map(|at| self.namespace(at));
        let until = Instant::now() + BOUND;
        for name in namespaces.iter().chain([&router]) {
            while !run(&format!("ip -n {name} -6 addr show tentative")).is_empty() {
                assert!(Instant::now() < until, "{name} has no addresses");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn router(&self) -> String {
        format!("{}-router", self.name)
    }

    fn namespace(&self, at: At) -> String {
        format!("{}-{}", self.name, at as u8)
    }

    /// Runs a command on a machine.
    pub(crate) fn has(&self, at: At, command: &str) {
        run(&format!("ip netns exec {} {command}", self.namespace(at)));
    }

    /// Runs a command in the router.
    pub(crate) fn route(&self, command: &str) {
        run(&format!("ip netns exec {} {command}", self.router()));
    }

    /// Changes a rule of the router, as `iptables` does.
    pub(crate) fn rule(&self, rule: &str) {
        self.route(&format!("iptables -w {rule}"));
    }

    /// Waits until the router's only rule for NAT on the way out has been asked for this many flows. Later packets of a
    /// flow do not ask: they go by the entry that the first one made.
    pub(crate) fn translated(&self, flows: u64) {
        let router = self.router();
        let until = Instant::now() + BOUND;
        loop {
            let rules = run(&format!(
                "ip netns exec {router} iptables -w -t nat -v -S POSTROUTING"
            ));
            let rule = rules.lines().find(|line| line.starts_with("-A "));
            let mut words = rule.expect("there is a rule").split_whitespace();
            words.find(|word| *word == "-c");
            let counted = words.next().expect("it is listed with its counts");
            if counted.parse::<u64>().expect("packets are counted") >= flows {
                return;
            }
            assert!(Instant::now() < until, "not {flows} flows: {rules}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes the router forward only what these rules allow.
    pub(crate) fn only(&self, rules: &[&str]) {
        // The policy first: nothing slips through in between.
        self.rule("-P FORWARD DROP");
        self.rule("-F FORWARD");
        for rule in rules {
            self.rule(&format!("-A FORWARD {rule}"));
        }
    }

    /// Makes the router forward everything again.
    pub(crate) fn open(&self) {
        self.rule("-P FORWARD ACCEPT");
    }

    /// Limits packets between two machines to `mtu` bytes, like a link with that MTU.
    pub(crate) fn path_mtu(&self, one: At, other: At, mtu: u16) {
        for (from, to) in [(one, other), (other, one)] {
            let (table, subnet, link) = (from.table(to), to.subnet(), to.link());
            self.route(&format!(
                "ip route replace {subnet} dev {link} mtu lock {mtu} table {table}"
            ));
        }
    }

    /// Stops the router's ICMP about packets that are too long.
    pub(crate) fn mute_icmp(&self) {
        self.rule("-A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP");
    }

    /// Clears what a machine has learned about path MTUs.
    pub(crate) fn forget(&self, at: At) {
        let machine = self.namespace(at);
        run(&format!("ip -n {machine} route flush cache"));
        run(&format!("ip -n {machine} tcp_metrics flush"));
    }

    /// Pulls a machine's cable, or puts it back.
    pub(crate) fn plug(&self, at: At, state: &str) {
        let (router, link) = (self.router(), at.link());
        run(&format!("ip -n {router} link set dev {link} {state}"));
    }

    /// Gives a machine these names, and no name server.
    pub(crate) fn names(&self, at: At, hosts: &str) {
        let dir = self.etc(at);
        fs::create_dir_all(&dir).expect("/etc/netns can be written");
        fs::write(dir.join("hosts"), hosts).expect("it can be written");
        fs::write(dir.join("nsswitch.conf"), "hosts: files\n").expect("it can be written");
    }

    /// The folder whose files `ip netns exec` mounts over those in /etc.
    fn etc(&self, at: At) -> PathBuf {
        PathBuf::from("/etc/netns").join(self.namespace(at))
    }

    /// The command on a machine, with the page's settings.
    pub(crate) fn virtnet(&self, at: At, args: &[&str]) -> Command {
        let mut command = support::member(REGISTRY, args);
        command.env("VIRTNET_BIND", page::setting("VIRTNET_BIND"));
        self.on(at, &command)
    }

    /// A command on a machine.
    pub(crate) fn on(&self, at: At, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.namespace(at)]);
        there.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }

    fn start_redis(&self) -> Child {
        let mut server = Command::new("redis-server");
        server.args(["--port", "6379", "--bind", "*", "-::*"]);
        server.args(["--protected-mode", "no", "--save", "", "--logfile", ""]);
        let mut server = self.on(At::Redis, &server);
        let server = server.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = server.spawn().expect("ip and redis-server are installed");
        let log = child.stdout.take().expect("it was asked for");
        let (tell, ready) = mpsc::channel();
        // Reads until the server ends: a full pipe would block it.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains("Ready to accept connections") {
                    let _ = tell.send(());
                }
            }
        });
        if ready.recv_timeout(BOUND).is_err() {
            let _ = child.kill();
            let _ = child.wait();
            panic!("redis-server does not start");
        }
        child
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut redis) = self.redis.take() {
            let _ = redis.kill();
            let _ = redis.wait();
        }
        for at in MACHINES {
            let _ = fs::remove_dir_all(self.etc(at));
            quiet(&format!("ip netns del {}", self.namespace(at)));
        }
        quiet(&format!("ip netns del {}", self.router()));
    }
}

fn pairs() -> impl Iterator<Item = (At, At)> {
    let from = MACHINES.into_iter();
    from.flat_map(|from| MACHINES.map(|to| (from, to)))
        .filter(|(from, to)| from != to)
}

/// Runs a command line, which must succeed; returns its stdout.
fn run(command: &str) -> String {
    let done = words(command).output();
    let done = done.unwrap_or_else(|err| panic!("{command}: {err}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command}: {said}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Runs a command line that may fail: removes what may not exist.
fn quiet(command: &str) {
    let _ = words(command).output();
}

fn words(command: &str) -> Command {
    let mut words = command.split_whitespace();
    let mut command = Command::new(words.next().expect("there is a program"));
    command.args(words);
    command
}
