//! How an error reads where `main` or a test returns it, or `unwrap` shows it.
//!
//! Owns the form of `Debug` of this project's errors. Never decides what an
//! error says: that is its `Display`.

use std::error::Error as StdError;
use std::fmt;

/// Writes `err` and what led to it, each cause on a line of its own and nothing
/// twice: the `Debug` of an error that people are shown.
///
/// Rust shows the `Debug` of an error that `main` or a test returns, and of one
/// that is unwrapped. Engines and registries may write that of their own errors
/// with it. `{:#?}` is better left to the fields, for whoever looks for those.
///
/// ```
/// use std::fmt;
///
/// #[derive(thiserror::Error)]
/// #[error("no hosts")]
/// struct NoHosts(#[source] std::num::ParseIntError);
///
/// impl fmt::Debug for NoHosts {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         virtnet_core::report(self, f)
///     }
/// }
///
/// let err = NoHosts("x".parse::<u8>().unwrap_err());
/// assert_eq!(
///     format!("{err:?}"),
///     "no hosts\n  caused by: invalid digit found in string",
/// );
/// ```
///
/// # Errors
///
/// Those of the formatter.
pub fn report(err: &dyn StdError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut shown = err.to_string();
    f.write_str(&shown)?;
    let mut next = err.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // Most errors here show their causes themselves.
        if !shown.contains(&text) {
            write!(f, "\n  caused by: {text}")?;
            shown.push('\n');
            shown.push_str(&text);
        }
        next = cause.source();
    }
    Ok(())
}
