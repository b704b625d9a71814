//! `virtnet keygen`: prints a new secret.
//!
//! Owns the file for it, which only its owner can read. Never replaces a file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use virtnet::quic::Secret;

use super::exit::Exit;
use super::output::print;

pub(crate) fn keygen(out: Option<&Path>) -> Result<(), Exit> {
    let secret = Secret::random().reveal();
    let Some(path) = out else {
        return print(&secret);
    };
    write(path, &secret).map_err(|err| match err.kind() {
        io::ErrorKind::AlreadyExists => Exit::Failed(format!(
            "--out {path:?}: expected a new file, got one that exists (it is not replaced)"
        )),
        _ => Exit::Failed(format!("--out {path:?}: {err}")),
    })
}

fn write(path: &Path, secret: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
    if written.is_err() {
        // A part of a secret helps nobody, and would be in the way of the next try.
        let _ = std::fs::remove_file(path);
    }
    written
}
