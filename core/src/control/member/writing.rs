//! Writing a member's own documents.
//!
//! Owns when one is written, and that a late write undoes no other. Never reads the plan.

use std::time::Duration;

use tokio::time::Instant;

use super::{Member, RENEWAL};
use crate::RegistryError;
use crate::control::board::FaultsResult;
use crate::control::member_doc::{MemberDoc, hosts_text, key};

/// How long a member's documents live.
const LIFETIME: Duration = Duration::from_secs(12);

impl Member<'_> {
    /// Writes the documents in which hosts are missing; all, if it is time. Returns the generation of hosts that
    /// they have.
    pub(super) async fn write_hosts(&mut self) -> FaultsResult<u64> {
        let all = self.all;
        let unwritten = self.control.take_unwritten(all);
        let generation = unwritten.generation;
        let mut texts = Vec::new();
        if unwritten.first_dirty || self.written.is_empty() {
            texts.push((0, self.document(unwritten.first).text()));
        }
        let others = unwritten.others.iter();
        texts.extend(others.map(|(chunk, hosts)| {
            let hosts = hosts.iter().map(String::as_str);
            (*chunk, hosts_text(hosts))
        }));
        if let Err(why) = self.write(texts).await {
            let failed = (generation, why.clone());
            self.control
                .progress
                .send_modify(|progress| progress.unlisted = Some(failed));
            return Err(why.into());
        }
        if all {
            self.all = false;
            self.renewal = Instant::now() + RENEWAL;
        }
        self.control
            .progress
            .send_modify(|progress| progress.listed = generation);
        Ok(generation)
    }

    async fn write(&mut self, texts: Vec<(usize, String)>) -> Result<(), RegistryError> {
        for (chunk, text) in texts {
            if self.written.len() <= chunk {
                self.written.resize(chunk + 1, None);
            }
            let written = &mut self.written[chunk];
            let key = key(&self.control.id, chunk);
            // Replaced, and not put: a call that failed before may still happen later, and must
            // not undo this one.
            let mut old = written.take();
            while !self
                .docs
                .replace(&key, old.as_deref(), &text, Some(LIFETIME))
                .await?
            {
                old = self.docs.get(&key).await?;
            }
            *written = Some(text);
        }
        Ok(())
    }

    /// Writes the first document, if the member's state is another than was written.
    pub(super) async fn write_state(&mut self) -> FaultsResult<()> {
        let hosts = self.control.first_hosts();
        let text = self.document(hosts).text();
        match self.written.first() {
            Some(Some(written)) if *written == text => Ok(()),
            _ => Ok(self.write(vec![(0, text)]).await?),
        }
    }

    /// The first document, as it is now.
    fn document(&self, hosts: Vec<String>) -> MemberDoc {
        MemberDoc {
            id: self.control.id.clone(),
            hosts,
            version: self.enforcing.table().version(),
            recovered: self.recovery.version(),
            silent: self.recovery.silent(),
            refused: self.enforcing.refused().to_vec(),
            asked: self.asked.clone(),
            counts: match self.asked.is_empty() {
                true => Vec::new(),
                false => self.enforcing.counts(),
            },
            gone: self.enforcing.gone(),
        }
    }
}
