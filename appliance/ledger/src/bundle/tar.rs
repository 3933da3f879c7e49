//! The archive form: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"), plain files
//! only, all fields that could differ between two machines fixed.

/// Everything in a tar archive comes in blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 512;
/// The folder in which the files of an archive are, so that unpacking makes one folder.
pub(super) const TOP_FOLDER: &str = "strongroom-export/";
/// Zeros at the end of an archive, bytes.
pub(super) const END_BYTES: usize = 2 * BLOCK_BYTES;

const NAME_BYTES: usize = 100;

/// What a header block says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Two of these end the archive.
    Zero,
    /// A plain file.
    File { path: String, bytes: u64 },
    /// A folder; it has no content.
    Folder { path: String },
    /// A link, device or extension; its type.
    Other { path: String, kind: char },
}

/// A header for a plain file; `None` when path or size do not fit into one.
pub(super) fn header(path: &str, bytes: u64) -> Option<[u8; BLOCK_BYTES]> {
    let name = format!("{TOP_FOLDER}{path}");
    if name.len() >= NAME_BYTES || bytes >= 1 << 33 {
        return None;
    }
    let mut block = [0_u8; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| {
        for (to, from) in block.iter_mut().skip(at).zip(text.as_bytes()) {
            *to = *from;
        }
    };
    put(0, &name);
    put(100, "0000444\0"); // mode: an export is not to be written to
    put(108, "0000000\0"); // user id
    put(116, "0000000\0"); // group id
    put(124, &format!("{bytes:011o}\0"));
    put(136, "00000000000\0"); // time of change
    put(148, "        "); // checksum, as spaces while it is computed
    put(156, "0"); // plain file
    put(257, "ustar\0");
    put(263, "00");
    let sum = format!("{:06o}\0 ", checksum(&block));
    for (to, from) in block.iter_mut().skip(148).zip(sum.as_bytes()) {
        *to = *from;
    }
    Some(block)
}

/// Reads a header block; `None` when it is none.
pub(super) fn parse(block: &[u8; BLOCK_BYTES]) -> Option<Header> {
    if block.iter().all(|byte| *byte == 0) {
        return Some(Header::Zero);
    }
    let stated = octal(block.get(148..156)?)?;
    if stated != u64::from(checksum(block)) || block.get(257..262)? != b"ustar" {
        return None;
    }
    let name = text(block.get(..NAME_BYTES)?)?;
    let prefix = text(block.get(345..500)?)?;
    let path = if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    };
    let kind = char::from(*block.get(156)?);
    let bytes = octal(block.get(124..136)?)?;
    Some(match kind {
        '0' | '\0' => Header::File { path, bytes },
        '5' if bytes == 0 => Header::Folder { path },
        kind => Header::Other { path, kind },
    })
}

/// Sum of all bytes, with the checksum field taken as spaces.
fn checksum(block: &[u8; BLOCK_BYTES]) -> u32 {
    let without = |(at, byte): (usize, &u8)| {
        if (148..156).contains(&at) {
            0x20
        } else {
            *byte
        }
    };
    block
        .iter()
        .enumerate()
        .map(|byte| u32::from(without(byte)))
        .sum()
}

fn text(field: &[u8]) -> Option<String> {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    Some(std::str::from_utf8(field.get(..end)?).ok()?.to_owned())
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = text(field)?;
    u64::from_str_radix(digits.trim_matches(' '), 8).ok()
}

/// Bytes of zeros after a content of this length.
pub(super) fn padding(bytes: u64) -> usize {
    let over = usize::try_from(bytes % BLOCK_BYTES as u64).unwrap_or(0);
    (BLOCK_BYTES - over) % BLOCK_BYTES
}
