//! The tasks of one endpoint. Closing ends all of them.
//!
//! Owns the spawning of tasks, quinn's own included, and the signals that end them.
//! Never knows what the tasks do.

use std::fmt;
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
use crate::udp::faults::host::HostFaults;
use crate::udp::faults::socket::FaultySocket;
use crate::udp::quic_socket::QuicSocket;
use crate::udp::send_errors::SendErrors;

/// The tasks of one endpoint, in groups that end one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    handle: Handle,
    /// The accept loop, handshakes, and the tasks of pooled connections.
    working: TaskTracker,
    /// Delivering data that was written to dropped streams.
    delivering: TaskTracker,
    /// Delivering only the end of dropped streams.
    ending: TaskTracker,
    /// Streams whose peer was lost before all data was delivered.
    lost: Arc<AtomicUsize>,
    /// quinn's: one for the socket, one for each connection.
    driving: TaskTracker,
    closing: CancellationToken,
    cut: CancellationToken,
    kill: CancellationToken,
}

impl Tasks {
    /// Tasks of the current runtime.
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

    /// Where they run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.handle
    }

    /// Cancelled when the endpoint starts to close: nothing new may begin.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Cancelled when the close stops waiting for deliveries.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = task.with_cancellation_token_owned(self.kill.clone());
        self.working.spawn_on(task, &self.handle);
    }

    /// Spawns the delivery of a stream's end; `written` says whether it also has data. May
    /// be called outside of the runtime, where a stream may be dropped.
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

    /// Counts a stream whose peer was lost before all data was delivered, if its user has
    /// seen no error.
    pub(crate) fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// While the token exists, the close waits: a handshake may still add a delivery.
    pub(crate) fn ending_token(&self) -> TaskTrackerToken {
        self.ending.token()
    }

    /// How many streams have undelivered data, or were lost with undelivered data.
    pub(crate) fn undelivered(&self) -> usize {
        self.delivering.len() + self.lost.load(Ordering::Relaxed)
    }

    /// Waits until all written data is delivered or given up.
    pub(crate) async fn delivered(&self) {
        self.delivering.close();
        self.delivering.wait().await;
    }

    /// Waits until the end of every stream is delivered or given up, too.
    pub(crate) async fn ended(&self) {
        self.delivered().await;
        self.ending.close();
        self.ending.wait().await;
    }

    /// Cancels all tasks, and waits until they have ended.
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

/// quinn's runtime: tokio, with quinn's tasks tracked together with the endpoint's.
#[derive(Clone)]
pub(crate) struct TrackedRuntime {
    tasks: Tasks,
    /// The errors of the endpoint's socket.
    send_errors: Arc<SendErrors>,
    faults: Arc<HostFaults>,
}

impl TrackedRuntime {
    pub(crate) fn shared(
        tasks: &Tasks,
        send_errors: &Arc<SendErrors>,
        faults: &Arc<HostFaults>,
    ) -> Arc<dyn Runtime> {
        Arc::new(TrackedRuntime {
            tasks: tasks.clone(),
            send_errors: Arc::clone(send_errors),
            faults: Arc::clone(faults),
        })
    }
}

impl fmt::Debug for TrackedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedRuntime").finish_non_exhaustive()
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
        let batches = Arc::new(BatchSocket::new(Arc::new(udp)));
        let (faults, runtime) = (Arc::clone(&self.faults), Arc::new(self.clone()));
        Ok(Arc::new(FaultySocket::new(batches, faults, runtime)))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
