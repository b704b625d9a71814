//! `virtnet completions` and `virtnet man`: what shells and readers of manuals want
//! to know of the command.
//!
//! Owns how both are made from the arguments. Never says anything of its own.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

use super::end::{End, not_printed};

/// Writes what `shell` is to evaluate.
pub(crate) fn completions(shell: Shell) -> Result<(), End> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "virtnet", &mut script);
    write(&script)
}

/// Writes the page of the command, and then that of each subcommand.
pub(crate) fn man() -> Result<(), End> {
    let command = super::command();
    let mut pages = Vec::new();
    render(&command, &mut pages)?;
    let subcommands = command.get_subcommands();
    for subcommand in subcommands.filter(|subcommand| subcommand.get_name() != "help") {
        render(subcommand, &mut pages)?;
    }
    write(&pages)
}

fn render(command: &Command, page: &mut Vec<u8>) -> Result<(), End> {
    Ok(clap_mangen::Man::new(command.clone()).render(page)?)
}

fn write(bytes: &[u8]) -> Result<(), End> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|err| not_printed(&err))
}
