//! `virtnet keygen`: a new secret.
//!
//! Owns the file that it goes to: its owner's alone, and never in place of another.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use virtnet::quic::Secret;

use super::end::{End, print};

pub(crate) fn keygen(out: Option<&Path>) -> Result<(), End> {
    let secret = Secret::random().reveal();
    let Some(path) = out else {
        return print(&secret);
    };
    write(path, &secret).map_err(|err| match err.kind() {
        io::ErrorKind::AlreadyExists => End::Failed(format!(
            "--out {path:?}: the file is there already, and a secret is never replaced"
        )),
        _ => End::Failed(format!("--out {path:?}: {err}")),
    })
}

fn write(path: &Path, secret: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}
