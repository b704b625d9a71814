//! The live trace of a network's folder: batches, one after the other, in two files.
//!
//! Owns the protocol: what is locked, written, renamed and removed, and in which order. Never waits for
//! another process: if one is in the way, it says so.
//!
//! One small file says what there is: which trace, up to which batch, and how long the newer file is. Its
//! exclusive lock is the right to change the trace. A batch is written first, and the small file afterwards; so
//! a writer that is killed in between leaves bytes behind the end, which the next one overwrites. When the newer file
//! is full it replaces the older one, so batches up to the end never change, and are read without a lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use virtnet_core::{
    MAX_TRACE_BATCH, MAX_TRACE_BATCHES, MAX_TRACE_READ, MAX_TRACE_SIZE, TracePosition,
};

use crate::folder::{self, TRACE_FILES};
use crate::os::{self, is_same_file};

/// The most bytes, and batches, of one of the two files.
const MOST_BYTES: u64 = MAX_TRACE_SIZE as u64 / 2;
const MOST_BATCHES: u64 = MAX_TRACE_BATCHES as u64 / 2;

/// For how long a trace is kept after its last batch, if nobody opens its network again.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// What the small file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Which trace; 0 if there is none.
    stream: u64,
    /// The number of the batch before the older file's first.
    before: u64,
    /// That of its last.
    older: u64,
    /// The number of the last batch.
    last: u64,
    /// The length of the newer file.
    end: u64,
}

/// Where a batch ends: the next one follows there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) at: TracePosition,
    /// That of the file's last batch: so a file is told from the next one.
    file: u64,
    offset: u64,
}

impl State {
    /// The place of the last batch.
    pub(crate) fn last(&self) -> TracePosition {
        TracePosition {
            stream: self.stream,
            number: self.last,
        }
    }

    /// Each number has as many digits as the largest one, so that a state overwrites the one before.
    fn text(self) -> String {
        let State {
            stream,
            before,
            older,
            last,
            end,
        } = self;
        format!("virtnet trace 1\n{stream:020} {before:020} {older:020} {last:020} {end:020}\n")
    }

    /// The state in a file; the default, if it is new or if no registry wrote it.
    fn read(file: &mut File) -> io::Result<State> {
        let mut text = String::new();
        let len = State::default().text().len() as u64;
        match file.take(len + 1).read_to_string(&mut text) {
            Err(err) if err.kind() != ErrorKind::InvalidData => Err(err),
            _ => Ok(State::parse(&text).unwrap_or_default()),
        }
    }

    fn parse(text: &str) -> Option<State> {
        let numbers = text.strip_prefix("virtnet trace 1\n")?.strip_suffix('\n')?;
        let mut numbers = numbers.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        let state = State {
            stream: next()?,
            before: next()?,
            older: next()?,
            last: next()?,
            end: next()?,
        };
        let is_ordered = state.before <= state.older && state.older <= state.last;
        (is_ordered && state.text() == text).then_some(state)
    }
}

/// The state without a lock: it may be about to change, so a new one is to be confirmed by [`open`].
pub(crate) fn glance(folder: &Path) -> io::Result<State> {
    match File::open(folder::trace(folder, 0)) {
        Ok(mut file) => State::read(&mut file),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(State::default()),
        Err(err) => Err(err),
    }
}

/// The batches that are there, which can be read without a lock.
pub(crate) struct Reader {
    pub(crate) state: State,
    /// The older and the newer file.
    files: [Option<File>; 2],
}

/// Opens what there is; `None` while another process changes it.
pub(crate) fn open(folder: &Path) -> io::Result<Option<Reader>> {
    let there = |part| match File::open(folder::trace(folder, part)) {
        Ok(file) => Ok(Some(file)),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    };
    let Some(mut lock) = there(0)? else {
        let (state, files) = (State::default(), [None, None]);
        return Ok(Some(Reader { state, files }));
    };
    match lock.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(err)) => return Err(err),
    }
    let state = State::read(&mut lock)?;
    let files = [there(1)?, there(2)?];
    // Closing it is not enough if a child process has it too, such as between fork and exec.
    let _ = lock.unlock();
    Ok(Some(Reader { state, files }))
}

impl Reader {
    /// The batches after `after`, with their places. A place where `after` ends saves the search for it.
    pub(crate) fn read(
        self,
        after: TracePosition,
        known: impl Fn(TracePosition) -> Option<Place>,
    ) -> io::Result<Vec<(Place, String)>> {
        let State {
            stream,
            before,
            older,
            last,
            ..
        } = self.state;
        let mut next = match after.stream == stream {
            true => after.number.saturating_add(1).max(before + 1),
            false => before + 1,
        };
        let mut batches = Vec::new();
        // What is behind the last batch is never read.
        for (file, (first, to)) in [
            (&self.files[0], (before + 1, older)),
            (&self.files[1], (older + 1, last)),
        ] {
            let Some(file) = file.as_ref().filter(|_| next <= to) else {
                continue;
            };
            let number = next - 1;
            let place = known(TracePosition { stream, number });
            // That of a newer file stays valid when the file becomes the older one.
            let place = place.filter(|place| place.file == first && number >= first);
            let (mut number, offset) = place.map_or((first, 0), |place| (next, place.offset));
            let mut file = BufReader::new(file);
            file.seek(SeekFrom::Start(offset))?;
            let mut offset = offset;
            while number <= to && batches.len() < MAX_TRACE_READ {
                let is_wanted = number >= next;
                let Some((text, len)) = frame(&mut file, number, is_wanted)? else {
                    // Damaged, as no registry leaves it: as if it were not there.
                    return Ok(batches);
                };
                offset += len;
                if is_wanted {
                    let at = TracePosition { stream, number };
                    let place = Place {
                        at,
                        file: first,
                        offset,
                    };
                    batches.push((place, text));
                    next = number + 1;
                }
                number += 1;
            }
        }
        Ok(batches)
    }
}

/// Reads a batch, or passes it over, and returns it with the bytes that it takes in the file.
fn frame(
    file: &mut BufReader<&File>,
    number: u64,
    is_wanted: bool,
) -> io::Result<Option<(String, u64)>> {
    let mut head = Vec::new();
    file.take(64).read_until(b'\n', &mut head)?;
    let head = String::from_utf8_lossy(&head);
    let parts = head
        .strip_suffix('\n')
        .and_then(|head| head.split_once(' '));
    let parts = parts.and_then(|(number, len)| Some((number.parse().ok()?, len.parse().ok()?)));
    let Some((_, len)) = parts
        .filter(|(there, len): &(u64, u64)| *there == number && *len <= MAX_TRACE_BATCH as u64)
    else {
        return Ok(None);
    };
    let whole = head.len() as u64 + len;
    if !is_wanted {
        file.seek_relative(i64::try_from(len).unwrap_or(i64::MAX))?;
        return Ok(Some((String::new(), whole)));
    }
    let mut text = Vec::new();
    file.take(len).read_to_end(&mut text)?;
    let is_whole = text.len() as u64 == len;
    let text = String::from_utf8(text).ok().filter(|_| is_whole);
    Ok(text.map(|text| (text, whole)))
}

/// The right to change the trace. One process has it at a time, until it is dropped.
pub(crate) struct TraceLock<'a> {
    folder: &'a Path,
    file: File,
}

impl<'a> TraceLock<'a> {
    /// Takes it; `None` if another process has it at the moment.
    pub(crate) fn take(folder: &'a Path) -> io::Result<Option<TraceLock<'a>>> {
        let path = folder::trace(folder, 0);
        let file = os::shared(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(err)) => return Err(err),
        }
        // Another process may have removed it before it was locked.
        Ok(is_same_file(&path, &file).then_some(TraceLock { folder, file }))
    }

    /// Appends a batch.
    pub(crate) fn append(&mut self, text: &str) -> io::Result<TracePosition> {
        self.file.rewind()?;
        let mut state = State::read(&mut self.file)?;
        let path = folder::trace(self.folder, 2);
        let mut newer = os::shared(&path)?;
        let is_lost = newer.metadata()?.len() < state.end;
        if state.stream == 0 || is_lost {
            state = State {
                stream: os::nanos().max(state.stream + 1),
                ..State::default()
            };
        }
        let frame = format!("{} {}\n{text}", state.last + 1, text.len());
        let is_full =
            state.end + frame.len() as u64 > MOST_BYTES || state.last - state.older >= MOST_BATCHES;
        if is_full {
            newer.set_len(state.end)?;
            fs::rename(&path, folder::trace(self.folder, 1))?;
            newer = os::shared(&path)?;
            (state.before, state.older, state.end) = (state.older, state.last, 0);
        }
        newer.seek(SeekFrom::Start(state.end))?;
        newer.write_all(frame.as_bytes())?;
        state.last += 1;
        state.end += frame.len() as u64;
        self.file.rewind()?;
        self.file.write_all(state.text().as_bytes())?;
        Ok(state.last())
    }

    /// Removes all batches.
    pub(crate) fn remove(self) -> io::Result<()> {
        // The small file last: while it is there, its lock is the right to remove.
        for part in (0..TRACE_FILES).rev() {
            match fs::remove_file(folder::trace(self.folder, part)) {
                Err(err) if err.kind() != ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for TraceLock<'_> {
    fn drop(&mut self) {
        // Closing it is not enough if a child process has it too, such as between fork and exec.
        let _ = self.file.unlock();
    }
}

/// Removes old traces of all networks beside this one: nobody may open such a network again.
pub(crate) fn tidy(folder: &Path) -> io::Result<()> {
    let Some(dir) = folder.parent() else {
        return Ok(());
    };
    for network in fs::read_dir(dir)? {
        let network = network?.path();
        let modified = folder::trace(&network, 0).metadata();
        let modified = modified.and_then(|data| data.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > KEPT)
            && let Some(lock) = TraceLock::take(&network)?
        {
            lock.remove()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
