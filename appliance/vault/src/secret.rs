//! Bytes that must not be printed, copied by accident, compared in variable time or left behind.

use std::fmt;
use std::ops::Range;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Secret bytes: boxed so that moves leave no copies, built in place, erased on drop.
///
/// There is no `Clone`, no `Serialize` and no `PartialEq`; `Debug` shows only the length. The bytes
/// leave through [`Secret::expose`], a word that a reviewer can search for.
pub struct Secret {
    bytes: Box<[u8]>,
    // The part that is the secret; what lies around it (a salt, a tag) is erased with it.
    visible: Range<usize>,
}

impl Secret {
    /// Builds `len` bytes in place: `fill` gets a zeroed buffer.
    pub fn init_with(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut secret = Self::zeroed(len);
        fill(&mut secret.bytes);
        secret
    }

    /// Builds `len` bytes in place; what a failing `fill` had written is erased.
    pub fn try_init_with<E>(
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut secret = Self::zeroed(len);
        fill(&mut secret.bytes)?;
        Ok(secret)
    }

    /// A copy of bytes that somebody else holds; the caller erases the original.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::init_with(bytes.len(), |buffer| buffer.copy_from_slice(bytes))
    }

    /// Takes over a vector and erases it.
    pub fn take(mut bytes: Vec<u8>) -> Self {
        let secret = Self::copy_of(&bytes);
        bytes.zeroize();
        secret
    }

    fn zeroed(len: usize) -> Self {
        Self {
            bytes: vec![0; len].into_boxed_slice(),
            visible: 0..len,
        }
    }

    /// Hides everything but `part` (counted within what is visible now), or gives `None` when
    /// `part` reaches outside.
    pub(crate) fn narrow(mut self, part: Range<usize>) -> Option<Self> {
        self.expose().get(part.clone())?;
        self.visible = self.visible.start + part.start..self.visible.start + part.end;
        Some(self)
    }

    /// The bytes. They must not be stored, logged or sent other than as the caller's purpose asks.
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(self.visible.clone()).unwrap_or_default()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.visible.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.visible.is_empty()
    }

    /// Equality in a time that depends on the lengths only.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    // Compiles only while the type does not implement the trait: with it, `_` would be ambiguous.
    macro_rules! assert_not_implemented {
        ($type:ty: $($bound:path),+) => {$(
            const _: fn() = || {
                trait Ambiguous<Marker> { fn pick() {} }
                impl<T: ?Sized> Ambiguous<()> for T {}
                #[allow(dead_code)]
                struct Implemented;
                impl<T: ?Sized + $bound> Ambiguous<Implemented> for T {}
                let _ = <$type as Ambiguous<_>>::pick;
            };
        )+};
    }
    assert_not_implemented!(
        Secret: Clone, Copy, PartialEq, Default, AsRef<[u8]>, fmt::Display, serde::Serialize
    );

    #[test]
    fn debug_shows_the_length_only() {
        let text = format!("{:?}", Secret::copy_of(b"canary-canary-canary"));
        assert_eq!(text, "Secret(20 bytes)");
    }

    #[test]
    fn equality_needs_all_bytes() {
        let secret = Secret::copy_of(b"0123456789");
        assert!(secret.ct_eq(&Secret::copy_of(b"0123456789")));
        assert!(!secret.ct_eq(&Secret::copy_of(b"0123456780")));
        assert!(!secret.ct_eq(&Secret::copy_of(b"012345678")));
    }

    #[test]
    fn narrowing_hides_and_never_reaches_outside() {
        let secret = Secret::copy_of(b"salt+key+tag").narrow(5..12).unwrap();
        assert_eq!(secret.expose(), b"key+tag");
        let secret = secret.narrow(0..3).unwrap();
        assert_eq!((secret.expose(), secret.len()), (&b"key"[..], 3));
        assert!(secret.narrow(0..4).is_none());
    }

    #[test]
    fn a_failing_fill_gives_no_secret() {
        assert!(Secret::try_init_with(4, |_| Err::<(), _>("no entropy")).is_err());
    }
}
