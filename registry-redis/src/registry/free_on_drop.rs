//! Free on drop: frees the names of a registry value that is dropped without a close, such as
//! when a program ends by an error or a panic.
//!
//! Owns the thread that does it, and the bound on waiting for it. Never relies on the
//! registry's runtime, which may be shutting down: it uses a new connection, on a runtime of the
//! thread's own. Never fails: no caller is left to get an error, and names that were not
//! freed end with their lease.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

use crate::lease::table::Announcement;
use crate::registry::inner::RegistryInner;

/// How long a drop waits for the names to be freed, at most.
const BOUND: Duration = Duration::from_secs(1);
/// Time for the thread to start and to report.
const SLACK: Duration = Duration::from_millis(100);

/// Frees all names that the server may hold for us, after the renewer has ended. Waits for it,
/// because the process may end right afterwards.
pub(crate) fn free_all(inner: &Arc<RegistryInner>) {
    let names = inner.leases.all();
    if names.is_empty() {
        return;
    }
    // Unsent commands must not be sent after the names were freed.
    inner.connection.disconnect();
    let bound = inner.connection.deadline().min(BOUND);
    let (tell, done) = mpsc::channel();
    let (count, shared) = (names.len(), Arc::clone(inner));
    let freeing = thread::Builder::new()
        .name("virtnet-free".to_owned())
        .spawn(move || {
            // The waiting drop may have given up.
            let _ = tell.send(free(&shared, &names, bound));
        });
    let why = match freeing {
        Ok(_) => match done.recv_timeout(bound + SLACK) {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => format!("not done within {bound:?}"),
        },
        Err(err) => err.to_string(),
    };
    let network = inner.keys.network();
    tracing::warn!(
        network,
        names = count,
        why,
        "the registry was dropped without a close: its names stay taken until their leases end"
    );
}

fn free(inner: &RegistryInner, names: &[Announcement], bound: Duration) -> Result<(), String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| err.to_string())?;
    let freed = runtime.block_on(async {
        let connection = inner.connection.separate(bound);
        inner
            .free_through(&connection, Instant::now() + bound, names)
            .await
    });
    // Does not wait for a DNS look-up that takes too long.
    runtime.shutdown_background();
    freed.map_err(|not_freed| not_freed.to_string())
}
