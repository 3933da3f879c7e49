//! The journal: what the shim writes before and after each call, and `lossy-cut` reads.
//!
//! One record = length (u32 LE) ‖ kind (u8) ‖ fields; integers little-endian, byte strings
//! preceded by their length (u32). A record's *position* is its byte offset in the journal; a sync
//! record says up to which position its file or folder became durable. A torn last record is one
//! whose operation never began.

/// One thing that happened, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code)] // the shim only writes these, lossy-cut only reads them
pub(crate) enum Entry {
    /// Content or size of a file is about to change.
    Data {
        /// The file.
        inode: u64,
        /// Its size before, bytes.
        old_size: u64,
        /// Where the pre-image belongs.
        offset: u64,
        /// What was there.
        before: Image,
    },
    /// A file that was not there is about to be made.
    Create {
        /// Inode of the folder.
        folder: u64,
        /// Its path.
        path: Vec<u8>,
    },
    /// A folder is about to be made.
    MakeFolder {
        /// Inode of the folder above.
        folder: u64,
        /// Its path.
        path: Vec<u8>,
    },
    /// A file is about to lose its name; it lives on under `grave`.
    Unlink {
        /// Inode of the folder.
        folder: u64,
        /// Its path.
        path: Vec<u8>,
        /// The hard link that keeps it.
        grave: Vec<u8>,
    },
    /// An empty folder is about to go.
    RemoveFolder {
        /// Inode of the folder above.
        folder: u64,
        /// Its path.
        path: Vec<u8>,
    },
    /// A name is about to change.
    Rename {
        /// Inode of the folder it ends up in, whose fsync makes the change durable.
        folder: u64,
        /// Path before.
        from: Vec<u8>,
        /// Path after.
        to: Vec<u8>,
        /// The hard link that keeps a replaced file; empty when there was none.
        grave: Vec<u8>,
    },
    /// Content and size of a file are durable, as of a position.
    SyncFile {
        /// The file.
        inode: u64,
        /// Position.
        up_to: u64,
    },
    /// The names in a folder are durable, as of a position.
    SyncNames {
        /// Inode of the folder.
        folder: u64,
        /// Position.
        up_to: u64,
    },
    /// Everything is durable, as of a position.
    SyncAll {
        /// Position.
        up_to: u64,
    },
    /// The process did what this shim does not model.
    Unsupported {
        /// What.
        what: Vec<u8>,
    },
}

/// A pre-image; runs of zeros (space filled ahead) are kept as a length.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code)] // as above
pub(crate) enum Image {
    /// That many zero bytes.
    Zeros(u64),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Entry {
    /// The record, length and all.
    #[allow(dead_code)] // lossy-cut only reads
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        match self {
            Self::Data {
                inode,
                old_size,
                offset,
                before,
            } => {
                number(&mut out, 1, &[*inode, *old_size, *offset]);
                match before {
                    Image::Zeros(length) => {
                        out.push(0);
                        out.extend(length.to_le_bytes());
                    }
                    Image::Bytes(bytes) => {
                        out.push(1);
                        string(&mut out, bytes);
                    }
                }
            }
            Self::Create { folder, path } => named(&mut out, 2, *folder, &[path]),
            Self::MakeFolder { folder, path } => named(&mut out, 3, *folder, &[path]),
            Self::Unlink {
                folder,
                path,
                grave,
            } => named(&mut out, 4, *folder, &[path, grave]),
            Self::RemoveFolder { folder, path } => named(&mut out, 5, *folder, &[path]),
            Self::Rename {
                folder,
                from,
                to,
                grave,
            } => {
                named(&mut out, 6, *folder, &[from, to, grave]);
            }
            Self::SyncFile { inode, up_to } => number(&mut out, 7, &[*inode, *up_to]),
            Self::SyncNames { folder, up_to } => number(&mut out, 8, &[*folder, *up_to]),
            Self::SyncAll { up_to } => number(&mut out, 9, &[*up_to]),
            Self::Unsupported { what } => {
                out.push(10);
                string(&mut out, what);
            }
        }
        let length = (out.len() - 4) as u32;
        out.splice(..4, length.to_le_bytes());
        out
    }

    /// Reads the record at the start of `bytes`: the entry and its length on disk, or `None` when
    /// the record is torn or not one of ours.
    #[allow(dead_code)] // the shim only writes
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut reader = Reader(bytes);
        let length = reader.u32()? as usize;
        let mut reader = Reader(reader.0.get(..length)?);
        let r = &mut reader;
        let entry = match r.u8()? {
            1 => Self::Data {
                inode: r.u64()?,
                old_size: r.u64()?,
                offset: r.u64()?,
                before: match r.u8()? {
                    0 => Image::Zeros(r.u64()?),
                    _ => Image::Bytes(r.string()?),
                },
            },
            2 => Self::Create {
                folder: r.u64()?,
                path: r.string()?,
            },
            3 => Self::MakeFolder {
                folder: r.u64()?,
                path: r.string()?,
            },
            4 => Self::Unlink {
                folder: r.u64()?,
                path: r.string()?,
                grave: r.string()?,
            },
            5 => Self::RemoveFolder {
                folder: r.u64()?,
                path: r.string()?,
            },
            6 => Self::Rename {
                folder: r.u64()?,
                from: r.string()?,
                to: r.string()?,
                grave: r.string()?,
            },
            7 => Self::SyncFile {
                inode: r.u64()?,
                up_to: r.u64()?,
            },
            8 => Self::SyncNames {
                folder: r.u64()?,
                up_to: r.u64()?,
            },
            9 => Self::SyncAll { up_to: r.u64()? },
            10 => Self::Unsupported { what: r.string()? },
            _ => return None,
        };
        Some((entry, 4 + length))
    }
}

fn number(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.push(kind);
    numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn named(out: &mut Vec<u8>, kind: u8, folder: u64, strings: &[&Vec<u8>]) {
    number(out, kind, &[folder]);
    strings.iter().for_each(|s| string(out, s));
}

/// Takes fields off the front of a record.
struct Reader<'a>(&'a [u8]);

#[allow(dead_code)] // the shim only writes
impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head.to_vec())
    }
}
