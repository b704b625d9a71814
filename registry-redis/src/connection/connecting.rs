//! Connecting: a connection that is ready for use.
//!
//! Owns what is asked of a server before all else: to push what changes. Never has a
//! deadline: its caller has.

use std::convert::Infallible;
use std::sync::Arc;

use redis::{AsyncConnectionConfig, PushInfo};
use virtnet_core::Failure;

use crate::connection::current::{Current, Numbered};
use crate::connection::locate::{self, Locator};
use crate::connection::tracking::NoTracking;

/// Connects to the server that has the network's keys.
pub(crate) async fn connect(locator: &Locator, slot: &Current) -> Result<Numbered, Failure> {
    if locator.tracking.is_on() {
        let tracked = tracked(locator, slot).await;
        match tracked.as_ref().err().and_then(NoTracking::of) {
            None => return tracked,
            Some(said) => locator.tracking.give_up(said.to_string()),
        }
    }
    // A connection of its own: the other may have been hung up after the error.
    locator.connect(&|| fresh(slot, false)).await
}

/// Connects to a server that pushes what changes.
async fn tracked(locator: &Locator, slot: &Current) -> Result<Numbered, Failure> {
    let mut connected = locator.connect(&|| fresh(slot, true)).await?;
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("OPTIN");
    locator.checked(tracking.exec_async(&mut connected.connection).await)?;
    Ok(connected)
}

/// Number and settings for one more connection.
fn fresh(slot: &Current, is_pushed_to: bool) -> (u64, AsyncConnectionConfig) {
    let number = slot.next_number();
    let config = locate::config();
    if !is_pushed_to {
        return (number, config);
    }
    let ear = Arc::clone(&slot.ear);
    let hear = move |push: PushInfo| {
        ear.heard(number, &push);
        Ok::<_, Infallible>(())
    };
    (number, config.set_push_sender(hear))
}
