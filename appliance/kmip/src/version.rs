//! Protocol versions: which there are, which are spoken here, and which to answer in when a peer
//! asks for one that is not (KMIP 1.4 §6.1, KMIP 2.1 §9.3).

use std::fmt;

/// A protocol version as it stands in every message header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// 1 or 2.
    pub major: i32,
    /// 0 to 4 within major version 1; 0 or 1 within 2.
    pub minor: i32,
}

impl ProtocolVersion {
    pub const V1_0: ProtocolVersion = ProtocolVersion::new(1, 0);
    pub const V1_1: ProtocolVersion = ProtocolVersion::new(1, 1);
    pub const V1_2: ProtocolVersion = ProtocolVersion::new(1, 2);
    pub const V1_3: ProtocolVersion = ProtocolVersion::new(1, 3);
    pub const V1_4: ProtocolVersion = ProtocolVersion::new(1, 4);
    pub const V2_0: ProtocolVersion = ProtocolVersion::new(2, 0);
    pub const V2_1: ProtocolVersion = ProtocolVersion::new(2, 1);

    /// The versions spoken here, the preferred one first, as Discover Versions lists them.
    pub const SUPPORTED: [ProtocolVersion; 7] = [
        Self::V2_1,
        Self::V2_0,
        Self::V1_4,
        Self::V1_3,
        Self::V1_2,
        Self::V1_1,
        Self::V1_0,
    ];

    /// A version of any number; see [`ProtocolVersion::is_supported`].
    #[must_use]
    pub const fn new(major: i32, minor: i32) -> Self {
        ProtocolVersion { major, minor }
    }

    /// Whether messages of this version are read and written here.
    #[must_use]
    pub fn is_supported(self) -> bool {
        Self::SUPPORTED.contains(&self)
    }

    /// The version in which to answer a peer that asked for this one: itself when supported,
    /// otherwise the newest supported one that is not newer, otherwise the oldest. A 1.7 client
    /// is answered in 1.4, whose messages it can read, and not in 2.1, whose it cannot.
    #[must_use]
    pub fn nearest_supported(self) -> ProtocolVersion {
        Self::SUPPORTED
            .into_iter()
            .find(|known| *known <= self)
            .unwrap_or(Self::V1_0)
    }

    /// 1.x carries attributes as named values in a Template-Attribute, 2.x as fields of their
    /// own in an Attributes structure (KMIP 2.0 §1.3, "changes").
    #[must_use]
    pub fn names_attributes(self) -> bool {
        self < Self::V2_0
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Debug for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::ProtocolVersion;

    #[test]
    fn answers_in_a_version_the_peer_can_read() {
        let cases = [
            ((0, 9), ProtocolVersion::V1_0),
            ((1, 0), ProtocolVersion::V1_0),
            ((1, 7), ProtocolVersion::V1_4),
            ((2, 0), ProtocolVersion::V2_0),
            ((2, 2), ProtocolVersion::V2_1),
            ((3, 0), ProtocolVersion::V2_1),
            ((-1, 5), ProtocolVersion::V1_0),
        ];
        for ((major, minor), answer) in cases {
            let asked = ProtocolVersion::new(major, minor);
            assert_eq!(asked.nearest_supported(), answer, "asked for {asked}");
        }
    }

    #[test]
    fn the_list_is_in_falling_order() {
        assert!(ProtocolVersion::SUPPORTED.is_sorted_by(|a, b| a > b));
    }
}
