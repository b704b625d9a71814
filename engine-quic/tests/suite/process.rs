//! A host that can be killed: to its peers, it looks like a killed process.
//!
//! Owns a thread with its own runtime. Never ends in an orderly way.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use virtnet_core::{Listener, SubNetwork};
use virtnet_engine_quic::QuicConfig;

use crate::common::Net;

/// A substitute for a process: a host on its own runtime, which can end at any time
/// without closing the host.
pub(crate) struct Process {
    pub(crate) listener: Listener,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Process {
    pub(crate) async fn start(net: &Net, config: QuicConfig, name: &'static str) -> Process {
        let (stop, stopped) = oneshot::channel();
        let (started, listener) = oneshot::channel();
        let prepared = config.prepare(net.network).unwrap();
        let (network, registry) = (net.network, Arc::new(net.hub.registry()));
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let kept = runtime.block_on(async {
                let engine = |notifier| prepared.start(notifier);
                let subnet = SubNetwork::new(network, registry, engine).unwrap();
                let host = subnet.new_host(name).await.unwrap();
                drop(started.send(host.listen(":1").unwrap()));
                drop(stopped.await);
                subnet
            });
            runtime.shutdown_background();
            drop(kept);
        });
        Process {
            listener: listener.await.unwrap(),
            stop,
            thread,
        }
    }

    /// Ends all its tasks at once, so that nothing more is sent.
    pub(crate) fn kill(self) -> Listener {
        drop(self.stop);
        self.thread.join().unwrap();
        self.listener
    }
}
