//! Rules are read back from their texts, and what is no rule is named.
//!
//! Owns the table of texts. Never tests what a rule does.

use std::time::Duration;

use super::*;
use crate::rules::rule::Rule;

#[test]
fn a_rule_is_read_back_from_its_text() {
    let ms = Duration::from_millis;
    for (rule, text) in [
        (Rule::cut("α", "β"), "cut α -> β"),
        (Rule::cut("*", "β").port(5432), "cut * -> β port 5432"),
        (
            Rule::hold("β", "α").conn(3, 4).after(1 << 16),
            "hold β:3 -> α:4 after 64KiB",
        ),
        (
            Rule::refuse("a b", "x").dials(1..=2),
            "refuse \"a b\" -> x dials 1-2",
        ),
        (Rule::refuse("α", "β").dials(3..=3), "refuse α -> β dials 3"),
        (
            Rule::reset("::1", "β").lasting(ms(1_500)),
            "reset [::1] -> β for 1.5s",
        ),
        (
            Rule::delay("α", "n*", ms(50))
                .jitter(ms(10))
                .tail(0.01, ms(200)),
            "delay α -> n* 50ms jitter 10ms tail 1% 200ms",
        ),
        (Rule::rate("α", "β", 10_000_000), "rate α -> β 10MB/s"),
        (Rule::rate("α", "β", 1_001), "rate α -> β 1001B/s"),
        (Rule::lose("α", "β", 0.1), "lose α -> β 10%"),
        (Rule::duplicate("α", "β", 0.005), "duplicate α -> β 0.5%"),
        (
            Rule::reorder("α", "β", 0.5, ms(20)),
            "reorder α -> β 50% by 20ms",
        ),
        (Rule::corrupt("α", "β", 1e-9), "corrupt α -> β 0.0000001%"),
    ] {
        assert_eq!(rule.to_string(), text);
        assert_eq!(text.parse(), Ok(rule), "{text}");
    }
}

#[test]
fn names_with_spaces_and_colons_are_read_back() {
    for name in ["a b", "::1", "é*", "->x", "a\u{a0}b"] {
        let rule = Rule::cut(name, name).conn(1, 2);
        assert_eq!(rule.to_string().parse(), Ok(rule), "{name:?}");
    }
}

#[test]
fn what_is_no_rule_is_named() {
    for (text, problem) in [
        ("", "expected the host that sends at the end"),
        ("cut", "expected the host that sends at the end"),
        ("cut α", "expected \"->\" after the first host at the end"),
        ("snip α -> β", "expected cut, hold, refuse"),
        ("cut α -> β 5s", "unexpected \"5s\""),
        ("delay α -> β", "expected a time such as 50ms at the end"),
        (
            "delay α -> β 50",
            "expected a time such as 50ms, got \"50\"",
        ),
        (
            "lose α -> β 101%",
            "expected a part such as 10%, got \"101%\"",
        ),
        (
            "rate α -> β 10MB",
            "expected a rate such as 10MB/s, got \"10MB\"",
        ),
        ("rate α -> β 0B/s", "expected more than 0"),
        ("cut α:1 -> β", "expected ports of both ends"),
        (
            "cut α -> β port 70000",
            "expected a port from 1, got \"70000\"",
        ),
        ("delay α -> β 1s port 7", "belong to no port"),
        ("cut α -> β dials 0", "expected numbers of dials from 1"),
        (
            "reset α -> β dials 1",
            "dials can be cut, held or refused only",
        ),
        (
            "refuse α -> β after 1kB",
            "only cut, hold, reset and corrupt",
        ),
        ("cut α -> β for 25h", "at most a day"),
    ] {
        let err = text.parse::<Rule>().expect_err(text).to_string();
        assert!(err.contains(problem), "{text}: {err}");
        assert!(err.contains(&format!("{text:?}")), "{err}");
    }
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, name, matches) in [
        ("α", "α", true),
        ("α", "αα", false),
        ("*", "", true),
        ("n*", "node", true),
        ("n*", "an", false),
        ("*e", "node", true),
        ("n*d*", "node", true),
        ("n*d*d", "nd", false),
        ("a*a", "a", false),
    ] {
        assert_eq!(
            Pattern(pattern.into()).matches(name),
            matches,
            "{pattern} {name}"
        );
    }
}
