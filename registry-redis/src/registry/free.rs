//! Freeing: names are freed on the server, in batches.
//!
//! Owns the error for names that could not be freed. Never decides which names to free, nor
//! waits past the deadline that its caller gives.

use std::fmt;
use std::sync::Arc;

use redis::Pipeline;
use tokio::time::Instant;
use virtnet_core::Failure;

use crate::cache;
use crate::connection::Connection;
use crate::lease::table::Announcement;
use crate::registry::inner::{PER_BATCH, PER_SCRIPT, RegistryInner};

impl RegistryInner {
    /// Frees announcements of ours. Names that another registry took meanwhile, or that no
    /// longer exist, count as freed.
    pub(crate) async fn free(
        &self,
        until: Instant,
        announcements: &[Announcement],
    ) -> Result<(), NotFreed> {
        self.free_through(&self.connection, until, announcements)
            .await
    }

    /// The same, over another connection to the same server.
    pub(crate) async fn free_through(
        &self,
        connection: &Connection,
        until: Instant,
        announcements: &[Announcement],
    ) -> Result<(), NotFreed> {
        let mut not_freed: Option<NotFreed> = None;
        for batch in announcements.chunks(PER_BATCH) {
            let mut pipeline = Pipeline::new();
            for names in batch.chunks(PER_SCRIPT) {
                let names: Vec<_> = names
                    .iter()
                    .map(|(name, number)| (&**name, *number))
                    .collect();
                pipeline.add_command(self.owner.free(&self.keys, &names));
            }
            let answers = connection.run(until, &pipeline).await;
            for (at, names) in batch.chunks(PER_SCRIPT).enumerate() {
                let answer = match &answers {
                    Ok(answers) => connection.checked(answers[at].clone()).map(|_| ()),
                    Err(no_reply) => Err(no_reply.failure.clone()),
                };
                match answer {
                    Ok(()) => self.freed(names),
                    Err(why) => not_freed
                        .get_or_insert_with(|| NotFreed::new(why))
                        .hostnames
                        .extend(names.iter().map(|(name, _)| Arc::clone(name))),
                }
            }
        }
        not_freed.map_or(Ok(()), Err)
    }

    fn freed(&self, names: &[Announcement]) {
        // First, so that no caller finds a name in a cache after it was freed.
        let keys: Vec<_> = names.iter().map(|(name, _)| self.keys.host(name)).collect();
        cache::changed_here(&keys);
        names.iter().for_each(|name| self.leases.freed(name));
        tracing::debug!(names = names.len(), "freed");
    }
}

/// Names that are still taken, and the first reason why.
#[derive(Debug)]
pub(crate) struct NotFreed {
    pub(crate) why: Failure,
    hostnames: Vec<Arc<str>>,
}

impl NotFreed {
    fn new(why: Failure) -> NotFreed {
        let hostnames = Vec::new();
        NotFreed { why, hostnames }
    }
}

impl fmt::Display for NotFreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 8;
        write!(f, "{}; not freed:", self.why)?;
        for hostname in self.hostnames.iter().take(NAMED) {
            write!(f, " {hostname:?}")?;
        }
        match self.hostnames.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for NotFreed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.source()
    }
}
