//! **No plaintext on any disk** (law 3): nothing that any node has written contains the mark with
//! which every key and every KEK of a run begins.

use super::Violation;
use crate::sim::keys::MARK;
use crate::sim::world::World;

const PROMISE: &str = "no plaintext";

/// Searches every file of every node.
pub(super) fn check(world: &World) -> Result<(), Violation> {
    for node in &world.nodes {
        for (path, bytes) in node.memory.files() {
            if let Some(at) = find(&bytes) {
                let (id, path) = (node.id.0, path.display());
                let what = format!("node {id}: a secret stands in {path} at byte {at}");
                return Err(Violation::new(PROMISE, what));
            }
        }
    }
    Ok(())
}

/// Where the mark stands.
fn find(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|b| *b == MARK[0]) {
        from += at;
        if bytes[from..].starts_with(&MARK) {
            return Some(from);
        }
        from += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_found_anywhere() {
        for before in [0, 1, 7, 4095] {
            let mut bytes = vec![MARK[0]; before];
            bytes.extend(MARK);
            bytes.extend([0; 9]);
            assert_eq!(find(&bytes), Some(before));
        }
        assert_eq!(find(&MARK[..7]), None);
        assert_eq!(find(&[]), None);
    }
}
