//! What a run prints and writes.
//!
//! Owns the tables and the JSON. Never judges: `goals.rs` does.

use anyhow::Result;

use crate::plan::work_of;
use crate::stats::Row;

/// One row a line.
pub fn json(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(text)
}

/// The rows of an earlier run.
pub fn from_json(text: &str) -> Result<Vec<Row>> {
    let rows = text.lines().map(serde_json::from_str);
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A number with three digits that count, or all of a large one.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        large if large >= 100.0 => grouped(value.round() as i64),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

/// Names of the works that rows are of, in order.
pub fn works(rows: &[Row]) -> Vec<&str> {
    let mut works: Vec<&str> = Vec::new();
    for row in rows {
        if !works.contains(&row.work.as_str()) {
            works.push(&row.work);
        }
    }
    works
}

/// A table for each work, to be read on a terminal.
pub fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    for work in works(rows) {
        let of_work: Vec<&Row> = rows.iter().filter(|row| row.work == work).collect();
        let unit = of_work.first().map_or("", |row| row.unit.as_str());
        let about = work_of(work).map_or("", |work| work.about);
        text.push_str(&format!("\n{work}, {unit} ({about})\n"));
        for row in of_work {
            text.push_str(&format!(
                "  {:<20}{:>12}   {} – {}\n",
                row.contender,
                number(row.median),
                number(row.min),
                number(row.max)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.1234, 1.234, 12.34, 1234.5, 12_345_678.0, f64::NAN].map(number);
        assert_eq!(shown, ["0.123", "1.23", "12.3", "1,235", "12,345,678", "–"]);
    }
}
