//! Reading the plan, also where it vanished or is behind what is known.
//!
//! Owns how a member writes it again. Never enforces it.

use tokio::time::Instant;

use super::Member;
use crate::control::board::{self, ASK, FaultsResult, Known, PLAN};
use crate::control::enforcing::Adopted;

impl Member<'_> {
    /// Reads the plan, and whether counts are asked for.
    pub(super) async fn read_plan(&mut self) -> FaultsResult<()> {
        let fresh = self
            .fresh
            .take()
            .filter(|[plan, _]| self.enforcing.is_fresh(plan.as_deref()));
        let plan = match (self.read, fresh) {
            // A host that joins only needs the plan.
            (false, Some([plan, _])) => plan,
            (false, None) => self.docs.get(PLAN).await?,
            (true, fresh) => {
                let (plan, asked) = match fresh {
                    Some([plan, asked]) => (plan, asked),
                    None => tokio::try_join!(self.docs.get(PLAN), self.docs.get(ASK))?,
                };
                self.asked = asked.unwrap_or_default();
                plan
            }
        };
        let mut text = match plan {
            Some(text) => text,
            None => match self.write_lost_plan().await? {
                Some(text) => text,
                None => return Ok(()),
            },
        };
        loop {
            match self.enforcing.adopt(&text, Instant::now())? {
                Adopted::Known => return Ok(()),
                Adopted::New => {
                    let plan = self.enforcing.known().clone();
                    let known = Known {
                        plan,
                        text: Some(text),
                    };
                    self.control.set_known(known);
                    return Ok(());
                }
                Adopted::Behind => text = self.amend_plan(text).await?,
            }
        }
    }

    /// Writes a plan that is behind what is known here as it has to be, and returns its text.
    async fn amend_plan(&mut self, text: String) -> FaultsResult<String> {
        // Where the plan was lost, the member's documents may have been, too.
        self.all = true;
        let plan = self.enforcing.known().clone();
        let known = Known {
            plan,
            text: Some(text),
        };
        let amend = |shared: &mut _| self.enforcing.amend(shared);
        let (plan, ()) = board::update(self.docs, &known, amend).await?;
        Ok(plan.to_string())
    }

    /// All documents vanished, such as by a flush of the server: that changes nothing. Each member
    /// writes the plan again as it knows it, and itself; the first succeeds, and others amend it.
    async fn write_lost_plan(&mut self) -> FaultsResult<Option<String>> {
        let known = self.enforcing.known();
        if known.parts.is_empty() {
            return Ok(None);
        }
        self.all = true;
        let (text, lifetime) = (known.to_string(), board::lifetime(known));
        let is_first = self.docs.replace(PLAN, None, &text, lifetime).await?;
        self.unsure |= !is_first;
        self.write_hosts().await?;
        Ok(self.docs.get(PLAN).await?)
    }
}
