//! What the signed kernel command line says about the root file system.
//!
//! The command line is part of the signed UKI; together with the kernel's checks of every block
//! read it carries the trust from the firmware to each byte of the root. Parameters of the kernel
//! and unknown words are skipped. A parameter of ours that is missing, given twice or malformed
//! refuses the boot: a command line like that was not made by our build.

use crate::fault::{Fault, Outcome};

/// Bytes of a SHA-256 digest.
pub(crate) const DIGEST_BYTES: usize = 32;

/// Bytes of one block of data and of the hash tree, as the build makes them.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// Data blocks at most: 1 TiB. A bigger number is a mistake, and arithmetic on it could overflow.
const DATA_BLOCKS_MAX: u64 = 1 << 28;

/// Bytes of salt at most, as the kernel's verity target allows.
const SALT_BYTES_MAX: usize = 256;

/// The root file system that this boot has to have, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedRoot {
    /// Top of the hash tree.
    pub(crate) hash: [u8; DIGEST_BYTES],
    /// Blocks of 4,096 bytes that the tree covers.
    pub(crate) data_blocks: u64,
    /// Where the verity superblock stands in the partition, in bytes.
    pub(crate) hash_offset: u64,
    /// Hashed before every block.
    pub(crate) salt: Vec<u8>,
}

impl SignedRoot {
    /// Reads `strongroom.roothash=` and `strongroom.verity=blocks,offset,salt`.
    ///
    /// # Errors
    /// A parameter is missing, doubled or malformed.
    pub(crate) fn parse(command_line: &str) -> Outcome<Self> {
        let hash = only(command_line, "strongroom.roothash=")?;
        let hash = hexadecimal(hash)?.try_into().map_err(|_| {
            Fault::new("command line: strongroom.roothash is not 64 hexadecimal digits")
        })?;
        let verity = only(command_line, "strongroom.verity=")?;
        let mut parts = verity.split(',');
        let (Some(blocks), Some(offset), Some(salt), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let expected = "data blocks, hash offset in bytes, salt";
            return Err(Fault::new(format!(
                "command line: strongroom.verity={verity} is not three values ({expected})"
            )));
        };
        let root = Self {
            hash,
            data_blocks: number(blocks)?,
            hash_offset: number(offset)?,
            salt: if salt == "-" {
                Vec::new()
            } else {
                hexadecimal(salt)?
            },
        };
        root.check()
    }

    fn check(self) -> Outcome<Self> {
        let wrong = if self.data_blocks == 0 || self.data_blocks > DATA_BLOCKS_MAX {
            "the number of data blocks is out of range"
        } else if !self.hash_offset.is_multiple_of(BLOCK_BYTES) {
            "the hash offset is no multiple of 4096"
        } else if self.hash_offset / BLOCK_BYTES < self.data_blocks {
            "the hash tree would stand inside the data"
        } else if self.hash_offset / BLOCK_BYTES > DATA_BLOCKS_MAX {
            "the hash offset is out of range"
        } else if self.salt.len() > SALT_BYTES_MAX {
            "the salt is longer than 256 bytes"
        } else {
            return Ok(self);
        };
        Err(Fault::new(format!(
            "command line: strongroom.verity: {wrong}"
        )))
    }

    /// Block in which the tree begins: the one behind the superblock.
    pub(crate) fn tree_block(&self) -> u64 {
        self.hash_offset / BLOCK_BYTES + 1
    }
}

/// The word that makes this program the installer. The build signs it into the installer's image
/// only, beside no root hash: each of the two images can be started as what it is and no other.
const INSTALLER: &str = "strongroom.install";

/// Whether this boot is that of an installer.
pub(crate) fn asks_for_installer(command_line: &str) -> bool {
    command_line
        .split_ascii_whitespace()
        .any(|word| word == INSTALLER)
}

/// The value of the one word that begins with `key`.
fn only<'a>(command_line: &'a str, key: &str) -> Outcome<&'a str> {
    let mut values = command_line
        .split_ascii_whitespace()
        .filter_map(|w| w.strip_prefix(key));
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Fault::new(format!(
            "command line: {key} is missing; boot the signed image, not a bare kernel"
        ))),
        (Some(_), Some(_)) => Err(Fault::new(format!("command line: {key} is given twice"))),
    }
}

fn number(text: &str) -> Outcome<u64> {
    text.parse()
        .map_err(|_| Fault::new(format!("command line: '{text}' is no number")))
}

/// Bytes from hexadecimal digits.
fn hexadecimal(text: &str) -> Outcome<Vec<u8>> {
    let wrong = || Fault::new(format!("command line: '{text}' is not hexadecimal"));
    if !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let digits = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>().ok_or_else(wrong)?;
    Ok(digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect())
}

/// Hexadecimal digits of bytes.
pub(crate) fn to_hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(hash: &str, verity: &str) -> String {
        format!("console=ttyS0 quiet strongroom.roothash={hash} strongroom.verity={verity} x")
    }

    #[test]
    fn the_build_s_line_is_understood() {
        let root = SignedRoot::parse(&line(&"0a".repeat(32), "2,8192,beef")).unwrap();
        assert_eq!(root.hash, [0x0a; 32]);
        assert_eq!(
            (root.data_blocks, root.hash_offset, root.tree_block()),
            (2, 8192, 3)
        );
        assert_eq!(root.salt, [0xbe, 0xef]);
        assert!(
            SignedRoot::parse(&line(&"0a".repeat(32), "2,8192,-"))
                .unwrap()
                .salt
                .is_empty()
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let good = "0a".repeat(32);
        for (hash, verity) in [
            ("0a", "2,8192,00"),
            (&"zz".repeat(32), "2,8192,00"),
            (&good, "2,8192"),
            (&good, "2,8192,00,1"),
            (&good, "0,8192,00"),
            (&good, "2,4096,00"),
            (&good, "2,8193,00"),
            (&good, "2,8192,0"),
            (&good, "18446744073709551615,8192,00"),
            (&good, "1,18446744073709547520,00"),
        ] {
            assert!(
                SignedRoot::parse(&line(hash, verity)).is_err(),
                "{hash} {verity}"
            );
        }
        let twice = format!("{} strongroom.roothash={good}", line(&good, "2,8192,00"));
        assert!(SignedRoot::parse(&twice).is_err());
        assert!(SignedRoot::parse("quiet").is_err());
    }

    #[test]
    fn only_the_whole_word_makes_an_installer() {
        assert!(asks_for_installer("quiet strongroom.install\n"));
        for line in [
            "",
            "strongroom.installer",
            "x=strongroom.install",
            "install",
        ] {
            assert!(!asks_for_installer(line), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(
            text in "(strongroom\\.(roothash|verity)=[0-9a-f,]{0,80} ?|[ -ÿ]){0,6}",
        ) {
            let _ = SignedRoot::parse(&text);
        }

        #[test]
        fn hexadecimal_comes_back(bytes: Vec<u8>) {
            prop_assert_eq!(hexadecimal(&to_hexadecimal(&bytes)).unwrap(), bytes);
        }
    }
}
