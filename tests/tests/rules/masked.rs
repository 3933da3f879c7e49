//! Rust source with comments and literals blanked out, so that a rule about code does not stumble
//! over a word in a sentence. Line and column numbers stay what they were.

/// Which part of the source the cursor is in.
enum Part {
    Code,
    LineComment,
    /// Block comments nest.
    BlockComment(u32),
    Text,
    /// A raw string, ended by `"` and this many `#`.
    RawText(usize),
}

/// Blanks comments, and the inside of string and character literals.
pub(crate) fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut part = Part::Code;
    let mut i = 0;
    while i < chars.len() {
        let (next, taken, visible) = match part {
            Part::Code => code(&chars, i),
            Part::LineComment if at(i) == '\n' => (Part::Code, 1, false),
            Part::LineComment => (Part::LineComment, 1, false),
            Part::BlockComment(depth) => match (at(i), at(i + 1)) {
                ('/', '*') => (Part::BlockComment(depth + 1), 2, false),
                ('*', '/') if depth == 1 => (Part::Code, 2, false),
                ('*', '/') => (Part::BlockComment(depth - 1), 2, false),
                _ => (Part::BlockComment(depth), 1, false),
            },
            Part::Text => match at(i) {
                '\\' => (Part::Text, 2, false),
                '"' => (Part::Code, 1, true),
                _ => (Part::Text, 1, false),
            },
            Part::RawText(hashes) => {
                let ends = at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#');
                if ends {
                    (Part::Code, hashes + 1, true)
                } else {
                    (Part::RawText(hashes), 1, false)
                }
            }
        };
        let end = (i + taken).min(chars.len());
        out.extend(
            chars[i..end]
                .iter()
                .map(|&c| if visible || c == '\n' { c } else { ' ' }),
        );
        i = end;
        part = next;
    }
    out
}

/// One step through code: what comes next, how many characters it takes, whether they stay.
fn code(chars: &[char], i: usize) -> (Part, usize, bool) {
    let at = |n: usize| chars.get(i + n).copied().unwrap_or('\0');
    let in_word = i > 0
        && chars
            .get(i - 1)
            .is_some_and(|c| c.is_alphanumeric() || *c == '_');
    match at(0) {
        '/' if at(1) == '/' => (Part::LineComment, 2, false),
        '/' if at(1) == '*' => (Part::BlockComment(1), 2, false),
        '"' => (Part::Text, 1, true),
        'r' if !in_word || (i > 0 && chars[i - 1] == 'b') => {
            let hashes = (1..).take_while(|&n| at(n) == '#').count();
            // `r#type` is a name, `r#"..."#` and `r"..."` are literals.
            if at(hashes + 1) == '"' {
                (Part::RawText(hashes), hashes + 2, true)
            } else {
                (Part::Code, 1, true)
            }
        }
        // A character literal, not a lifetime.
        '\'' if at(1) == '\\' => {
            let end = (3..12).find(|&n| at(n) == '\'').unwrap_or(2);
            (Part::Code, end + 1, false)
        }
        '\'' if at(2) == '\'' => (Part::Code, 3, false),
        _ => (Part::Code, 1, true),
    }
}

/// Index just after the brace that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + i + 1);
        }
    }
    None
}

/// Masked code without what is compiled for tests only: `#[cfg(test)]` items.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(found) = out[from..].find("#[cfg(test)]") {
        let begin = from + found;
        let rest = &out[begin..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(brace), Some(semicolon)) if brace > semicolon => begin + semicolon + 1,
            (Some(brace), _) => closing(&out, begin + brace).unwrap_or(out.len()),
            (None, Some(semicolon)) => begin + semicolon + 1,
            (None, None) => out.len(),
        };
        let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
        let blanked: String = out[begin..end].chars().map(blank).collect();
        // Non-ASCII letters shrink to one space each, so the end is counted anew.
        from = begin + blanked.len();
        out.replace_range(begin..end, &blanked);
    }
    out
}

/// Number of the line, from 1, that holds the byte at `index`.
pub(crate) fn line_of(text: &str, index: usize) -> usize {
    text[..index].matches('\n').count() + 1
}

#[test]
fn comments_and_literals_are_blanked_and_nothing_else() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* /* b */ c */ d", "a                 d"),
        (
            r#"f("x { \" } y", 'c', b'\'', 'a: loop)"#,
            r#"f("          ",    , b    , 'a: loop)"#,
        ),
        (
            r###"r#"a " b"# r"c" r#type br"d""###,
            r###"r#"     "# r" " r#type br" ""###,
        ),
        ("for x in y { }", "for x in y { }"),
    ];
    for (text, masked) in cases {
        assert_eq!(mask(text), masked, "of {text}");
    }
}

#[test]
fn test_items_are_blanked_and_what_follows_stays() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { } }\n#[cfg(test)]\nmod t;\nfn c() {}";
    let kept = without_tests(code);
    assert!(kept.contains("fn a") && kept.contains("fn c"), "{kept}");
    assert!(!kept.contains("fn b") && !kept.contains("mod t"), "{kept}");
    assert_eq!(kept.matches('\n').count(), code.matches('\n').count());
}
