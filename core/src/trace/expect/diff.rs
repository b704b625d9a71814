//! The difference between expected and seen events, line by line.
//!
//! Owns the alignment. Never knows which order causes allow.

use std::fmt;

use crate::trace::event::Event;
use crate::trace::expect::pattern::Pattern;

/// So many pairs of lines are compared at most: beyond, all lines but those that begin and end
/// alike are shown as different.
const MOST: usize = 4_000_000;

/// Lines that are unchanged around a difference, as in a unified diff.
const AROUND: usize = 3;

/// A line of a difference.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// Expected and seen.
    Same(String),
    Missing(String),
    /// Seen, and not expected: with its place among the seen events.
    Extra(String, usize),
}

/// The difference.
#[derive(Debug)]
pub(super) struct Diff(Vec<Line>);

impl Diff {
    pub(super) fn new(expected: &[Pattern], seen: &[&Event]) -> Diff {
        let is = |at: usize, index: usize| expected[at].matches(seen[index]);
        let both = expected.len().min(seen.len());
        let first = (0..both).take_while(|at| is(*at, *at)).count();
        let last = (0..both - first)
            .take_while(|back| is(expected.len() - 1 - back, seen.len() - 1 - back))
            .count();
        let (rows, columns) = (expected.len() - last, seen.len() - last);
        // The longest common part of the rest, from the back.
        let (height, width) = (rows - first + 1, columns - first + 1);
        let is_small = height.saturating_mul(width) <= MOST;
        let mut common = vec![0_u32; if is_small { height * width } else { 0 }];
        if is_small {
            for row in (0..height - 1).rev() {
                for column in (0..width - 1).rev() {
                    common[row * width + column] = match is(first + row, first + column) {
                        true => common[(row + 1) * width + column + 1] + 1,
                        false => {
                            let below = common[(row + 1) * width + column];
                            below.max(common[row * width + column + 1])
                        }
                    };
                }
            }
        }
        let same = |index: usize| Line::Same(seen[index].to_string());
        let mut lines: Vec<_> = (0..first).map(same).collect();
        let (mut row, mut column) = (first, first);
        while row < rows || column < columns {
            let at = |row: usize, column: usize| {
                let at = (row - first) * width + column - first;
                common.get(at).copied().unwrap_or(0)
            };
            if row < rows && column < columns && is_small && is(row, column) {
                lines.push(same(column));
                (row, column) = (row + 1, column + 1);
            } else if row < rows
                && (column == columns || at(row + 1, column) >= at(row, column + 1))
            {
                lines.push(Line::Missing(expected[row].to_string()));
                row += 1;
            } else {
                lines.push(Line::Extra(seen[column].to_string(), column));
                column += 1;
            }
        }
        lines.extend((columns..seen.len()).map(same));
        Diff(lines)
    }

    /// The place of the first event that was not expected where it came.
    pub(super) fn first_extra(&self) -> Option<usize> {
        self.0.iter().find_map(|line| match line {
            Line::Extra(_, index) => Some(*index),
            _ => None,
        })
    }

    /// Expected and seen are the same lines, in another order than causes allow.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|line| matches!(line, Line::Same(_)))
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_same = |line: &Line| matches!(line, Line::Same(_));
        let mut left_out = false;
        for (at, line) in self.0.iter().enumerate() {
            let near = &self.0[at.saturating_sub(AROUND)..self.0.len().min(at + AROUND + 1)];
            if near.iter().all(is_same) && !self.is_empty() {
                left_out = true;
                continue;
            }
            if std::mem::take(&mut left_out) {
                writeln!(f, "  …")?;
            }
            match line {
                Line::Same(text) => writeln!(f, "  {text}")?,
                Line::Missing(text) => writeln!(f, "- {text}")?,
                Line::Extra(text, _) => writeln!(f, "+ {text}")?,
            }
        }
        match left_out {
            true => writeln!(f, "  …"),
            false => Ok(()),
        }
    }
}
