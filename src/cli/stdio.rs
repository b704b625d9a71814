//! Stdin and stdout as streams of large pieces.
//!
//! Owns a thread for each, because reading a terminal and writing to a pipe may
//! block for ever and must not hold up the runtime. Pieces go through a bounded
//! channel, so backpressure reaches the other end of the pipe. Never looks at
//! the bytes.

use std::io::{self, Read, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

/// The most bytes of one piece.
pub(crate) const PIECE: usize = 128 * 1024;

/// How many pieces may wait: enough to keep both sides busy.
const WAITING: usize = 8;

/// Reads stdin. The channel ends with the end of stdin, or with an error.
///
/// The thread may be waiting in a read when the process ends.
pub(crate) fn stdin() -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
    let (pieces, receiver) = mpsc::channel(WAITING);
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut piece = vec![0; PIECE];
                let read = match stdin.read(&mut piece) {
                    Ok(0) => return,
                    Ok(count) => {
                        piece.truncate(count);
                        Ok(piece)
                    }
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                    Err(err) => Err(err),
                };
                let failed = read.is_err();
                if pieces.blocking_send(read).is_err() || failed {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

/// Writes stdout.
pub(crate) struct Stdout {
    pieces: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Stdout {
    pub(crate) fn start() -> io::Result<Stdout> {
        let mut stdout = unbuffered()?;
        let (pieces, mut receiver) = mpsc::channel::<Vec<u8>>(WAITING);
        let (tell, done) = oneshot::channel();
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || {
                let mut write_all = || -> io::Result<()> {
                    while let Some(piece) = receiver.blocking_recv() {
                        stdout.write_all(&piece)?;
                    }
                    stdout.flush()
                };
                // Nobody waits for the result when the process is ending.
                let _ = tell.send(write_all());
            })?;
        Ok(Stdout { pieces, done })
    }

    /// Has a piece written; waits while too much is waiting already.
    ///
    /// An error may be of an earlier piece.
    pub(crate) async fn write(&mut self, piece: Vec<u8>) -> io::Result<()> {
        match self.pieces.send(piece).await {
            Ok(()) => Ok(()),
            Err(_) => finished((&mut self.done).await),
        }
    }

    /// Waits until all is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.pieces);
        finished(self.done.await)
    }
}

fn finished(result: Result<io::Result<()>, oneshot::error::RecvError>) -> io::Result<()> {
    result.unwrap_or_else(|_| Err(io::Error::other("its thread ended")))
}

/// The standard library looks for line ends in all that goes to its stdout, and
/// keeps back what follows the last one.
#[cfg(unix)]
fn unbuffered() -> io::Result<impl Write + Send> {
    use std::os::fd::AsFd;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(std::fs::File::from(stdout))
}

#[cfg(not(unix))]
fn unbuffered() -> io::Result<impl Write + Send> {
    Ok(io::stdout())
}
