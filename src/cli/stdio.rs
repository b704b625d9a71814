//! Stdin and stdout as streams of chunks.
//!
//! Owns a thread for each: reading a terminal and writing to a pipe may block without
//! limit, which must not block the runtime. Chunks go through a bounded channel, so
//! backpressure reaches the other end of the pipe. Never looks at the bytes.

use std::io::{self, Read, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

/// The maximum size of a chunk, in bytes.
pub(crate) const CHUNK: usize = 128 * 1024;

/// How many chunks the channel holds: enough to keep both sides busy.
const QUEUED: usize = 8;

/// Reads stdin. The channel ends after the end of stdin, or after an error.
///
/// The thread may still block in a read when the process ends.
pub(crate) fn stdin() -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
    let (chunks, receiver) = mpsc::channel(QUEUED);
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut stdin = io::stdin().lock();
            loop {
                let mut chunk = vec![0; CHUNK];
                let read = match stdin.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(count) => {
                        chunk.truncate(count);
                        Ok(chunk)
                    }
                    Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                    Err(err) => Err(err),
                };
                let failed = read.is_err();
                if chunks.blocking_send(read).is_err() || failed {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

/// Writes stdout.
pub(crate) struct Stdout {
    chunks: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Stdout {
    pub(crate) fn start() -> io::Result<Stdout> {
        let mut stdout = unbuffered()?;
        let (chunks, mut receiver) = mpsc::channel::<Vec<u8>>(QUEUED);
        let (report, done) = oneshot::channel();
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || {
                let mut write_all = || -> io::Result<()> {
                    while let Some(chunk) = receiver.blocking_recv() {
                        stdout.write_all(&chunk)?;
                    }
                    stdout.flush()
                };
                // Nobody receives the result if the process is ending.
                let _ = report.send(write_all());
            })?;
        Ok(Stdout { chunks, done })
    }

    /// Queues a chunk; waits while the queue is full.
    ///
    /// The error may come from an earlier chunk.
    pub(crate) async fn write(&mut self, chunk: Vec<u8>) -> io::Result<()> {
        match self.chunks.send(chunk).await {
            Ok(()) => Ok(()),
            Err(_) => finished((&mut self.done).await),
        }
    }

    /// Waits until all chunks are written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.chunks);
        finished(self.done.await)
    }
}

fn finished(result: Result<io::Result<()>, oneshot::error::RecvError>) -> io::Result<()> {
    result.unwrap_or_else(|_| Err(io::Error::other("the thread that writes it ended")))
}

/// Stdout without the standard library's buffer, which searches for line ends and holds
/// back what follows the last one.
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
