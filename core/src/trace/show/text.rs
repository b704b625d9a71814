//! Text that a terminal, and the formats here, show as it is meant.
//!
//! Owns escapes, the width of text in columns, and times in UTC. Never orders anything.

use std::fmt::Write;
use std::time::Duration;

/// The text in one line, without what moves a terminal's cursor, hides text or turns its
/// direction: such characters are written as `\u{1b}`.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            char if char.is_control() || is_format(char) => line.extend(char.escape_unicode()),
            char => line.push(char),
        }
    }
    line
}

/// Invisible, or a separator of lines, or it turns the direction of what follows. Joiners of
/// letters are none of these: scripts and emoji need them.
fn is_format(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// How many columns a terminal uses for a text of one line: two for most of East Asia's letters
/// and for emoji, none for marks that are put on the letter before.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(char: char) -> usize {
    match u32::from(char) {
        0x300..=0x36f | 0x200c..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// `2026-11-28T06:27:49.000001Z`.
pub(super) fn utc(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let [hour, minute, second] = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
    let micros = since_1970.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The date of a day after 1970-01-01, in years that begin in March, so that a leap day is a
/// year's last.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From 0000-03-01.
    let days = days + 719_468;
    let (centuries, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (centuries * 400 + year + next_year, month, day_of_month)
}

/// Adds a string in JSON that may stand in HTML's `<script>` too: no `<`, `>` and `&`.
pub(super) fn json_string(json: &mut String, text: &str) {
    json.push('"');
    for char in text.chars() {
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{7f}' => unicode(json, char),
            char if char.is_control() => unicode(json, char),
            char => json.push(char),
        }
    }
    json.push('"');
}

/// All of these are below U+10000.
fn unicode(json: &mut String, char: char) {
    write!(json, "\\u{:04x}", u32::from(char)).expect("a string takes all text");
}

#[cfg(test)]
mod tests {
    use super::{date, json_string, one_line, utc, width};
    use std::time::Duration;

    #[test]
    fn dates() {
        let cases = [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (365, (1971, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_785, (2026, 11, 28)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ];
        for (day, expected) in cases {
            assert_eq!(date(day), expected, "day {day}");
        }
        let time = Duration::new(1_795_847_269, 1_999);
        assert_eq!(utc(time), "2026-11-28T06:27:49.000001Z");
    }

    #[test]
    fn a_line_moves_no_cursor() {
        let text = "a\nb\u{1b}[2J\u{202e}c\u{200b}α한\u{200d}";
        assert_eq!(
            one_line(text),
            "a\\nb\\u{1b}[2J\\u{202e}c\\u{200b}α한\u{200d}"
        );
        assert_eq!([width("α"), width("한"), width("e\u{301}")], [1, 2, 1]);
    }

    #[test]
    fn json_ends_no_script() {
        let mut json = String::new();
        json_string(&mut json, "</script>\"\\\n\u{0}\u{2028}&α");
        let expected = r#""\u003c/script\u003e\"\\\n\u0000\u2028\u0026α""#;
        assert_eq!(json, expected);
    }
}
