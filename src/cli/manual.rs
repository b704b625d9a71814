//! `virtnet completions` and `virtnet man`.
//!
//! Owns how both are generated from the arguments. Never adds text of its own.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

use super::exit::Exit;
use super::output::print_failed;

/// Writes the completion script of `shell`.
pub(crate) fn completions(shell: Shell) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::help::command(), "virtnet", &mut script);
    write(&script)
}

/// Writes the page of the command, then the page of each subcommand.
pub(crate) fn man() -> Result<(), Exit> {
    let command = super::help::command();
    let mut pages = Vec::new();
    render(&command, &mut pages)?;
    let subcommands = command.get_subcommands();
    for subcommand in subcommands
        .filter(|subcommand| subcommand.get_name() != "help" && !subcommand.is_hide_set())
    {
        render(subcommand, &mut pages)?;
    }
    write(&pages)
}

fn render(command: &Command, page: &mut Vec<u8>) -> Result<(), Exit> {
    Ok(clap_mangen::Man::new(command.clone()).render(page)?)
}

fn write(bytes: &[u8]) -> Result<(), Exit> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|err| print_failed(&err))
}
