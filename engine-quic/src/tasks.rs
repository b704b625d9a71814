//! The tasks of one endpoint: each has an owner, and closing ends them all.
//!
//! Owns the spawning of tasks, QUIC's own included, and the signals that end
//! them. Never knows what the tasks do.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one endpoint, in three groups that end one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    handle: Handle,
    /// Accepting, handshakes, keeping pooled connections.
    working: TaskTracker,
    /// Delivering what was written to dropped streams.
    delivering: TaskTracker,
    /// QUIC's: one for the socket, one for each connection.
    driving: TaskTracker,
    closing: CancellationToken,
    cut: CancellationToken,
    kill: CancellationToken,
}

impl Tasks {
    /// Of the runtime that it is called in.
    pub(crate) fn new() -> Tasks {
        Tasks {
            handle: Handle::current(),
            working: TaskTracker::new(),
            delivering: TaskTracker::new(),
            driving: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
            kill: CancellationToken::new(),
        }
    }

    /// Says that nothing new is to begin.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Says that what is not delivered by now will not be.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    pub(crate) fn work(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.kill.clone().run_until_cancelled_owned(task);
        self.working.spawn_on(task, &self.handle);
    }

    /// May be called from outside of the runtime, as drops are.
    pub(crate) fn deliver(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.delivering.spawn_on(task, &self.handle);
    }

    /// How many streams are being delivered.
    pub(crate) fn undelivered(&self) -> usize {
        self.delivering.len()
    }

    /// Waits until everything is delivered, or given up.
    pub(crate) async fn delivered(&self) {
        self.delivering.close();
        self.delivering.wait().await;
    }

    /// Ends all tasks and waits until they are gone.
    pub(crate) async fn end(&self) {
        self.closing.cancel();
        self.cut.cancel();
        self.kill.cancel();
        self.delivered().await;
        for tasks in [&self.working, &self.driving] {
            tasks.close();
            tasks.wait().await;
        }
    }
}

/// What QUIC runs on: tokio, with its tasks among the others of the endpoint.
#[derive(Debug)]
pub(crate) struct OwnedTasks(pub(crate) Tasks);

impl OwnedTasks {
    pub(crate) fn runtime(tasks: &Tasks) -> Arc<dyn Runtime> {
        Arc::new(OwnedTasks(tasks.clone()))
    }
}

impl Runtime for OwnedTasks {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let Tasks {
            handle,
            driving,
            kill,
            ..
        } = &self.0;
        let task = kill.clone().run_until_cancelled_owned(task);
        driving.spawn_on(task, handle);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
