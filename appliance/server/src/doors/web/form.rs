//! Fields of a form or of a query: `application/x-www-form-urlencoded` (WHATWG URL §5.1).

use zeroize::Zeroizing;

/// Fields of one form at most; ours have fewer.
const FIELDS_MAX: usize = 64;

/// Fields in their order. Some are passwords, so all are erased.
#[derive(Default)]
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form")
    }
}

impl Form {
    /// Reads a form; what is no UTF-8 becomes replacement characters, which no name has.
    pub(super) fn parse(text: &[u8]) -> Self {
        let fields = text.split(|byte| *byte == b'&');
        let fields = fields.filter(|field| !field.is_empty()).take(FIELDS_MAX);
        let read = |field: &[u8]| {
            let equals = field.iter().position(|byte| *byte == b'=');
            let (name, value) = field.split_at(equals.unwrap_or(field.len()));
            let value = value.strip_prefix(b"=").unwrap_or_default();
            (decoded(name).to_string(), decoded(value))
        };
        Self(fields.map(read).collect())
    }

    /// The value of a field; empty when it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The value of a field without spaces around it, if something is left.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = self.get(name).trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

fn decoded(text: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escaped = after.split_at_checked(2).and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let value = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
            Some((value, after))
        });
        match (byte, escaped) {
            (b'%', Some((value, after))) => {
                bytes.push(value);
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
}

/// A text as a part of a URL.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_form(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let form = Form::parse(&bytes);
            prop_assert!(form.0.len() <= FIELDS_MAX);
            // Each value is no longer than what was sent, but for characters that replace bytes.
            let all: usize = form.0.iter().map(|(name, value)| name.len() + value.len()).sum();
            prop_assert!(all <= bytes.len() * 3);
        }

        #[test]
        fn any_text_reads_back(text in any::<String>()) {
            let form = Form::parse(format!("a=1&x={}", encoded(&text)).as_bytes());
            prop_assert_eq!(form.get("x"), text);
        }
    }

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let form = Form::parse(b"a=1+2&b=%3Cb%3E%2B&&c&d=%zz%4&e=%C3%A4&a=3&f==&%67=x=y");
        for (name, value) in [
            ("a", "1 2"),
            ("b", "<b>+"),
            ("c", ""),
            ("d", "%zz%4"),
            ("e", "\u{e4}"),
            ("f", "="),
            ("g", "x=y"),
            ("nothing", ""),
        ] {
            assert_eq!(form.get(name), value, "{name}");
        }
        assert_eq!(form.text("c"), None);
        assert_eq!(form.text("a").as_deref(), Some("1 2"));
        assert_eq!(Form::parse(b"x=%+1").get("x"), "% 1");
        assert_eq!(Form::parse(&b"x=1&".repeat(1000)).0.len(), FIELDS_MAX);
    }

    #[test]
    fn what_is_encoded_reads_back() {
        for text in ["", "a b", "<\"'&=+%/?#>", "\u{e4}\u{202e}\n"] {
            let form = Form::parse(format!("x={}", encoded(text)).as_bytes());
            assert_eq!(form.get("x"), text);
        }
    }
}
