//! The tasks of one endpoint: each has an owner, and closing ends them all.
//!
//! Owns the spawning of tasks, QUIC's own included, and the signals that end
//! them. Never knows what the tasks do.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::runtime::Handle;
use tokio_util::future::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::udp::batch::BatchSocket;
use crate::udp::quic_socket::QuicSocket;
use crate::udp::send_errors::SendErrors;

/// The tasks of one endpoint, in groups that end one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    handle: Handle,
    /// Accepting, handshakes, keeping pooled connections.
    working: TaskTracker,
    /// Delivering what was written to dropped streams.
    delivering: TaskTracker,
    /// Delivering no more than the end of streams.
    ending: TaskTracker,
    /// Streams whose peer was lost while what was written was delivered.
    lost: Arc<AtomicUsize>,
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
            ending: TaskTracker::new(),
            lost: Arc::default(),
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

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = task.with_cancellation_token_owned(self.kill.clone());
        self.working.spawn_on(task, &self.handle);
    }

    /// Delivers the end of a stream, and what was `written` before, if
    /// anything. May be called from outside of the runtime, as drops are.
    pub(crate) fn spawn_delivery(
        &self,
        written: bool,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let tracker = if written {
            &self.delivering
        } else {
            &self.ending
        };
        tracker.spawn_on(task, &self.handle);
    }

    /// Counts a stream whose peer was lost before all was delivered, where
    /// nobody has been told.
    pub(crate) fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the close wait for whoever holds it: it has an end to hand over.
    pub(crate) fn ending_token(&self) -> TaskTrackerToken {
        self.ending.token()
    }

    /// How many streams have, or had, something written that was not delivered.
    pub(crate) fn undelivered(&self) -> usize {
        self.delivering.len() + self.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything that was written is delivered, or given up.
    pub(crate) async fn delivered(&self) {
        self.delivering.close();
        self.delivering.wait().await;
    }

    /// Waits until every stream's end is delivered too, or given up.
    pub(crate) async fn ended(&self) {
        self.delivered().await;
        self.ending.close();
        self.ending.wait().await;
    }

    /// Ends all tasks and waits until they are gone.
    pub(crate) async fn end(&self) {
        self.closing.cancel();
        self.cut.cancel();
        self.kill.cancel();
        for tasks in [&self.working, &self.delivering, &self.ending, &self.driving] {
            tasks.close();
            tasks.wait().await;
        }
    }
}

/// What QUIC runs on: tokio, with its tasks among the others of the endpoint.
#[derive(Debug)]
pub(crate) struct TrackedRuntime {
    tasks: Tasks,
    /// Of the endpoint's socket.
    send_errors: Arc<SendErrors>,
}

impl TrackedRuntime {
    pub(crate) fn runtime(tasks: &Tasks, send_errors: &Arc<SendErrors>) -> Arc<dyn Runtime> {
        Arc::new(TrackedRuntime {
            tasks: tasks.clone(),
            send_errors: Arc::clone(send_errors),
        })
    }
}

impl Runtime for TrackedRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let Tasks {
            handle,
            driving,
            kill,
            ..
        } = &self.tasks;
        let task = task.with_cancellation_token_owned(kill.clone());
        driving.spawn_on(task, handle);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let udp = QuicSocket::new(socket, Arc::clone(&self.send_errors))?;
        Ok(Arc::new(BatchSocket::new(Arc::new(udp))))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
