//! PEM armour (RFC 7468) for certificates and, erased after use, for private keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Characters of base64 on a line (RFC 7468 §2).
const LINE_CHARACTERS: usize = 64;

/// Armours DER; the intermediate text and the result are erased when dropped.
pub(crate) fn armour(label: &str, der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(der));
    // The final size at once: a string that grows would leave copies behind.
    let bytes = text.len() + text.len() / LINE_CHARACTERS + 2 * label.len() + 40;
    let mut pem = Zeroizing::new(String::with_capacity(bytes));
    for part in ["-----BEGIN ", label, "-----\n"] {
        pem.push_str(part);
    }
    for line in text.as_bytes().chunks(LINE_CHARACTERS) {
        // Base64 is ASCII, so every chunk is text.
        pem.push_str(std::str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        pem.push_str(part);
    }
    pem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn lines_have_64_characters_and_the_text_decodes() {
        for len in [0, 1, 47, 48, 49, 96, 1000] {
            let der: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let pem = armour("CERTIFICATE", &der);
            assert!(pem.len() <= pem.capacity());
            let lines: Vec<&str> = pem.lines().collect();
            assert_eq!(lines[0], "-----BEGIN CERTIFICATE-----");
            assert_eq!(lines[lines.len() - 1], "-----END CERTIFICATE-----");
            let body = &lines[1..lines.len() - 1];
            assert!(body.iter().rev().skip(1).all(|line| line.len() == 64));
            assert_eq!(STANDARD.decode(body.concat()).unwrap(), der);
        }
    }
}
