#!/usr/bin/env bash
# capnp-rpc 0.27.3: the calls of an RpcSystem that is dropped do not end with it.
#
# Guess, before the run: dropping an RpcSystem, as an aborted task does, disconnects: what it serves is dropped, and
#   what waits for an answer fails as Disconnected. (After a look at the source: what waits is told nothing.)
# Seen: the stream is closed, but the connection's tables are not cleared. A call that waits at the dropped side gets no
#   answer, without end, and neither do later ones. A call that the dropped side serves is never dropped, nor is what it
#   holds, also when all tasks and capabilities are gone. At the other side, calls fail as Disconnected, or are dropped.
# Matters to: tests that stop a member by aborting its task, and servers that give a connection a bound of time.
# Way out: RpcSystem::get_disconnector, before the RpcSystem is spawned; run it first, with a bound, as it waits until what is
#   queued has been written.
#
# Needs cargo and the public crates; no network. Exits with 0 if this is still so, with 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
capnp = "=0.27.3"
capnp-rpc = "=0.27.3"
tokio = { version = "1", features = ["io-util", "macros", "rt", "time"] }
tokio-util = { version = "0.7", features = ["compat"] }
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use capnp::any_pointer;
use capnp::capability::{
    Client, DispatchCallResult, FromClientHook, FromServer, Params, Promise, Results, Server,
};
use capnp::private::capability::ClientHook;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty::VatNetwork};
use tokio::task::LocalSet;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

/// How many calls are held at the server.
#[derive(Default)]
struct Calls {
    running: Cell<usize>,
}

/// What a call holds, such as a lock or a file.
struct Running(Rc<Calls>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

/// The interface, by hand: every method waits.
#[derive(Clone)]
struct Waits(Rc<Calls>);

impl std::ops::Deref for Waits {
    type Target = Calls;
    fn deref(&self) -> &Calls {
        &self.0
    }
}

impl Server for Waits {
    fn dispatch_call(
        self,
        _: u64,
        _: u16,
        _: Params<any_pointer::Owned>,
        _: Results<any_pointer::Owned>,
    ) -> DispatchCallResult {
        self.running.set(self.running.get() + 1);
        let running = Running(self.0);
        let held = async move {
            let _held = running;
            pending().await
        };
        DispatchCallResult::new(Promise::from_future(held), false)
    }

    fn as_ptr(&self) -> usize {
        Rc::as_ptr(&self.0) as usize
    }
}

struct Remote(Client);

impl FromClientHook for Remote {
    fn new(hook: Box<dyn ClientHook>) -> Remote {
        Remote(Client::new(hook))
    }
    fn into_client_hook(self) -> Box<dyn ClientHook> {
        self.0.hook
    }
    fn as_client_hook(&self) -> &dyn ClientHook {
        self.0.hook.as_ref()
    }
}

impl FromServer<Calls> for Remote {
    type Dispatch = Waits;
    fn from_server(calls: Rc<Calls>) -> Waits {
        Waits(calls)
    }
}

fn system(
    stream: tokio::io::DuplexStream,
    side: Side,
    bootstrap: Option<Client>,
) -> RpcSystem<Side> {
    let (read, write) = tokio::io::split(stream);
    let network = VatNetwork::new(
        read.compat(),
        write.compat_write(),
        side,
        Default::default(),
    );
    RpcSystem::new(Box::new(network), bootstrap)
}

/// How a call ends, and how much of it is left at the server when every task is gone.
async fn end(how: &str) -> (usize, String) {
    let calls = Rc::new(Calls::default());
    let local = LocalSet::new();
    let ended = local
        .run_until(async {
            let (one, two) = tokio::io::duplex(1 << 16);
            let offered: Remote = capnp_rpc::new_client_from_rc(calls.clone());
            let mut client = system(one, Side::Client, None);
            let server = system(two, Side::Server, Some(offered.0));
            let remote: Remote = client.bootstrap(Side::Server);
            let off = server.get_disconnector();
            let client = tokio::task::spawn_local(client);
            let server = tokio::task::spawn_local(server);
            let call = remote
                .0
                .new_call::<any_pointer::Owned, any_pointer::Owned>(1, 0, None);
            let call = tokio::task::spawn_local(call.send().promise);
            while calls.running.get() == 0 {
                tokio::task::yield_now().await;
            }
            match how {
                "server dropped" => server.abort(),
                "server disconnects" => off.await.unwrap(),
                _ => client.abort(),
            }
            // All is in memory: a second is far more than it takes.
            let ended = tokio::time::timeout(Duration::from_secs(1), call).await;
            match ended {
                Ok(Ok(Err(err))) => err.to_string(),
                Ok(_) => "answered".into(),
                Err(_) => "no answer".into(),
            }
        })
        .await;
    drop(local);
    (calls.running.get(), ended)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for how in ["server disconnects", "client dropped", "server dropped"] {
        let (running, ended) = end(how).await;
        println!("{how}: call: {ended}; still held at the server: {running}");
    }
}
RUST
# Optimized, as servers are built.
said=$(cd "$work" && timeout 600 cargo run --quiet --release)
echo "$said"
[ "$said" = "server disconnects: call: Disconnected: remote exception: client requested disconnect; still held at the server: 0
client dropped: call: no answer; still held at the server: 0
server dropped: call: Disconnected: Peer disconnected.; still held at the server: 1" ] || {
    echo "this has changed"
    exit 1
}
