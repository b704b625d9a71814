//! Writing a member's own documents.
//!
//! Owns when one is written, and that a late write undoes no other. Never reads the plan.

use tokio::time::Instant;

use super::Member;
use crate::RegistryError;
use crate::control::board::FaultsResult;
use crate::control::member::watching::WATCHED;
use crate::control::member_doc::{MemberDoc, hosts_text, key};

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
        // A host that joins needs the plan as it is when the host is listed, and no earlier one.
        let joins = self.control.progress.borrow().ready < generation;
        let then = if joins { WATCHED } else { &[] };
        if joins {
            self.fresh = None;
        }
        let written = self.write(texts, then).await;
        if let Err(why) = written {
            let failed = (generation, why.clone());
            self.control
                .progress
                .send_modify(|progress| progress.unlisted = Some(failed));
            return Err(why.into());
        }
        if let Ok(fresh) = written.unwrap_or_default().try_into() {
            self.fresh = Some(fresh);
        }
        if all {
            self.all = false;
            self.renewal = Instant::now() + self.lifetime / 3;
        }
        self.control
            .progress
            .send_modify(|progress| progress.listed = generation);
        Ok(generation)
    }

    /// Writes documents; with the last of them, reads those with the keys `then`.
    async fn write(
        &mut self,
        texts: Vec<(usize, String)>,
        then: &[&str],
    ) -> Result<Vec<Option<String>>, RegistryError> {
        let (last, mut read) = (texts.len().saturating_sub(1), Vec::new());
        for (at, (chunk, text)) in texts.into_iter().enumerate() {
            let then = if at == last { then } else { &[] };
            if self.written.len() <= chunk {
                self.written.resize(chunk + 1, None);
            }
            let written = &mut self.written[chunk];
            let key = key(&self.control.id, chunk);
            // Replaced, and not put: a call that failed before may still happen later, and must
            // not undo this one.
            let mut old = written.take();
            loop {
                let lifetime = Some(self.lifetime);
                let replace =
                    self.docs
                        .replace_and_read(&key, old.as_deref(), &text, lifetime, then);
                let (is_written, texts) = replace.await?;
                if is_written {
                    read = texts;
                    break;
                }
                old = self.docs.get(&key).await?;
            }
            *written = Some(text);
        }
        Ok(read)
    }

    /// Writes the first document, if the member's state is another than was written.
    pub(super) async fn write_state(&mut self) -> FaultsResult<()> {
        let hosts = self.control.first_hosts();
        let text = self.document(hosts).text();
        match self.written.first() {
            Some(Some(written)) if *written == text => Ok(()),
            _ => {
                self.write(vec![(0, text)], &[]).await?;
                Ok(())
            }
        }
    }

    /// The first document, as it is now.
    fn document(&self, hosts: Vec<String>) -> MemberDoc {
        MemberDoc {
            id: self.control.id.clone(),
            hosts,
            version: if self.unsure { 0 } else { self.settled },
            recovered: self.recovery.version(),
            silent: self.recovery.silent(),
            refused: [self.enforcing.refused(), &self.unsettled].concat(),
            asked: self.asked.clone(),
            counts: match self.asked.is_empty() {
                true => Vec::new(),
                false => self.enforcing.counts(),
            },
            gone: self.enforcing.gone(),
        }
    }
}
