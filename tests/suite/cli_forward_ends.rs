//! How a forwarded connection ends: two programs with sockets of the system, `virtnet expose`
//! and `virtnet reach` between them, each end in both directions.
//!
//! Owns the difference between an end-of-file (FIN) and a reset (RST). Never tests the lines of
//! the commands: `cli_forward.rs` does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::forwards::{Through, expect_reset, reset};

fn read_all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Moves a byte each way, so that the connection is there at both ends.
fn talk(ends: &mut [TcpStream; 2]) {
    for from in [0, 1] {
        ends[from].write_all(b"x").unwrap();
        ends[1 - from].read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn an_end_of_file_half_closes() {
    let through = Through::new();
    for client_first in [true, false] {
        let [mut first, mut last] = through.pair(client_first);
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut last), "question");
        // Much later than the end of the other direction.
        let answer = "answer ".repeat(100_000);
        last.write_all(answer.as_bytes()).unwrap();
        drop(last);
        assert_eq!(read_all(&mut first), answer);
    }
}

#[test]
fn a_close_delivers_and_resets_a_program_that_goes_on_writing() {
    let through = Through::new();
    for client_first in [true, false] {
        let mut ends = through.pair(client_first);
        talk(&mut ends);
        let [mut first, mut last] = ends;
        first.write_all(b"last words").unwrap();
        drop(first);
        assert_eq!(read_all(&mut last), "last words");
        let failed = loop {
            if let Err(err) = last.write_all(&[0; 1000]) {
                break err.kind();
            }
        };
        // Which of them depends on what the system had noticed before.
        let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&failed), "{failed:?}");
    }
}

#[test]
fn a_reset_is_a_reset() {
    let through = Through::new();
    for client_first in [true, false] {
        let mut ends = through.pair(client_first);
        talk(&mut ends);
        let [first, mut last] = ends;
        reset(first);
        expect_reset(&mut last);
    }
}

#[test]
fn a_reset_after_the_other_direction_has_ended_is_a_reset() {
    let through = Through::new();
    for client_first in [true, false] {
        let [mut first, mut last] = through.pair(client_first);
        last.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut first), "");
        reset(first);
        expect_reset(&mut last);
    }
}

/// With data on the way that nobody reads, both ways.
#[test]
fn a_reset_passes_data_that_waits() {
    let through = Through::new();
    for client_first in [true, false] {
        let mut ends = through.pair(client_first);
        talk(&mut ends);
        for end in &mut ends {
            fill(end);
        }
        let [first, mut last] = ends;
        reset(first);
        expect_reset(&mut last);
    }
}

/// Writes until no more is taken.
fn fill(stream: &mut TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(err) = stream.write(&[0; 64 * 1024]) {
            break err.kind();
        }
    };
    assert_eq!(full, io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
}

#[test]
fn a_fault_that_resets_resets_both_programs() {
    let through = Through::new();
    let mut ends = through.pair(true);
    talk(&mut ends);
    through.net.fault(&["reset", "α", "β", "--until-healed"]);
    ends.iter_mut().for_each(expect_reset);
    through.net.fault(&["heal"]);
    talk(&mut through.pair(true));
}

#[test]
fn a_cut_that_lasts_resets_both_programs() {
    let through = Through::new();
    let mut ends = through.pair(true);
    talk(&mut ends);
    through
        .net
        .fault(&["cut", "α", "β", "--both", "--until-healed"]);
    ends.iter_mut().for_each(expect_reset);
    through.net.fault(&["heal"]);
    talk(&mut through.pair(true));
}

#[test]
fn a_killed_process_resets_both_programs() {
    for kill_reach in [true, false] {
        let mut through = Through::new();
        let mut ends = through.pair(true);
        talk(&mut ends);
        match kill_reach {
            true => through.reach.kill(),
            false => through.expose.kill(),
        }
        ends.iter_mut().for_each(expect_reset);
    }
}

#[test]
fn a_signal_resets_both_programs() {
    for end_reach in [true, false] {
        let through = Through::new();
        let mut ends = through.pair(true);
        talk(&mut ends);
        let ended = match end_reach {
            true => through.reach,
            false => through.expose,
        };
        ended.signal("TERM");
        assert_eq!(ended.end().code, Some(143));
        ends.iter_mut().for_each(expect_reset);
    }
}

/// Everything that is written before a reader stops, and a bound on what waits.
#[test]
fn a_reader_that_stopped_stops_the_writer_and_gets_all_later() {
    let through = Through::new();
    for client_first in [true, false] {
        let [mut first, mut last] = through.pair(client_first);
        const MOST: usize = 256 << 20;
        first.set_nonblocking(true).unwrap();
        let (mut written, piece) = (0_usize, [7; 64 * 1024]);
        // Stopped when nothing is taken although what was taken had time to move on: the other
        // end sees a full queue.
        let mut unread = 0;
        while written < MOST {
            match first.write(&piece) {
                Ok(count) => written += count,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    let now = last.peek(&mut vec![0; 16 << 20]).unwrap();
                    if now == unread {
                        break;
                    }
                    unread = now;
                }
                Err(err) => panic!("{err}"),
            }
        }
        assert!(written < MOST, "nothing stopped it");
        first.set_nonblocking(false).unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let mut read = Vec::new();
        last.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), written);
        assert!(read.iter().all(|byte| *byte == 7));
    }
}
