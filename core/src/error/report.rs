//! The text of an error that `main` or a test returns, or `unwrap` prints.
//!
//! Owns the `Debug` format of this project's errors. Never changes the text of an
//! error: that is its `Display`.

use std::error::Error as StdError;
use std::fmt;

/// Writes `err` and its sources, each on its own line, without repeating text: a
/// readable `Debug` of an error.
///
/// Rust prints the `Debug` of an error that `main` or a test returns, and of an
/// error that is unwrapped. Engines and registries can use this function for their
/// own errors. Keep the fields in `{:#?}`.
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
/// The errors of the formatter.
pub fn report(err: &dyn StdError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut shown = err.to_string();
    f.write_str(&shown)?;
    let mut next = err.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // The text of most errors here already contains their sources.
        if !shown.contains(&text) {
            write!(f, "\n  caused by: {text}")?;
            shown.push('\n');
            shown.push_str(&text);
        }
        next = cause.source();
    }
    Ok(())
}
