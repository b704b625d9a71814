//! Connecting: a connection that is ready for use.
//!
//! Owns the first commands on a connection: they turn client tracking on. Has no
//! deadline: its caller has one.

use std::convert::Infallible;
use std::sync::Arc;

use redis::{AsyncConnectionConfig, PushInfo};
use virtnet_core::Failure;

use crate::connection::current::{Current, OpenConnection};
use crate::connection::locate::{self, Locator};
use crate::connection::tracking::NoTracking;

/// Connects to the server that has the network's keys.
pub(crate) async fn connect(
    locator: &Locator,
    current: &Current,
) -> Result<OpenConnection, Failure> {
    if locator.tracking.is_on() {
        let tracked = tracked(locator, current).await;
        match tracked.as_ref().err().and_then(NoTracking::of) {
            None => return tracked,
            Some(said) => locator.tracking.give_up(said.to_string()),
        }
    }
    // A new connection: the server may have closed the other one after the error.
    locator.connect(&|| new_connection(current, false)).await
}

/// Connects to a server that pushes changes.
async fn tracked(locator: &Locator, current: &Current) -> Result<OpenConnection, Failure> {
    let mut connected = locator.connect(&|| new_connection(current, true)).await?;
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("OPTIN");
    locator.checked(tracking.exec_async(&mut connected.connection).await)?;
    Ok(connected)
}

/// The number and settings of a new connection.
fn new_connection(current: &Current, is_pushed_to: bool) -> (u64, AsyncConnectionConfig) {
    let number = current.next_number();
    let config = locate::config();
    if !is_pushed_to {
        return (number, config);
    }
    let push_listener = Arc::clone(&current.push_listener);
    let on_push = move |push: PushInfo| {
        push_listener.on_push(number, &push);
        Ok::<_, Infallible>(())
    };
    (number, config.set_push_sender(on_push))
}
