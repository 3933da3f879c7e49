//! Laws of the partition table: it comes back as written, no bytes make it panic, and no power
//! cut loses it.

use super::*;
use proptest::prelude::*;

const GEOMETRY: Geometry = Geometry {
    sector_bytes: 512,
    sectors: 16_384,
};

/// A disk in memory that remembers each write, so that a power cut can be replayed.
#[derive(Clone)]
struct Memory {
    bytes: Vec<u8>,
    writes: Vec<(u64, Vec<u8>)>,
}

impl Memory {
    fn new(geometry: Geometry) -> Self {
        let bytes = usize::try_from(geometry.sectors * geometry.sector_bytes).unwrap();
        Self {
            bytes: vec![0; bytes],
            writes: Vec::new(),
        }
    }

    fn put(&mut self, bytes: &[u8], offset: u64) {
        let offset = usize::try_from(offset).unwrap();
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

impl Store for Memory {
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let from = self.bytes.get(offset..offset + buffer.len());
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.put(bytes, offset);
        // Sector by sector: that is what a disk promises to write whole.
        for (i, sector) in (0u64..).zip(bytes.chunks(512)) {
            self.writes.push((offset + i * 512, sector.to_vec()));
        }
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.writes.push((u64::MAX, Vec::new()));
        Ok(())
    }
}

/// The image's table: four partitions, room behind them.
fn image_table(geometry: Geometry) -> Table {
    let count = 128u32;
    let empty = Table {
        geometry,
        disk_guid: [7; 16],
        first_usable: 2048,
        last_usable: geometry.sectors - 34,
        count,
        entries: vec![0; 128 * ENTRY_BYTES],
    };
    let mut table = empty;
    for (i, name) in (0u64..).zip(["esp", "root-a", "root-b", "keys"]) {
        let entry = new_entry(
            name,
            [u8::try_from(i).unwrap() + 1; 16],
            2048 + i * 2048,
            4095 + i * 2048,
        );
        let at = usize::try_from(i).unwrap() * ENTRY_BYTES;
        table.entries[at..at + ENTRY_BYTES].copy_from_slice(&entry.unwrap());
    }
    table
}

fn written(table: &Table) -> Memory {
    let mut disk = Memory::new(table.geometry);
    table.write(&mut disk).unwrap();
    disk.writes.clear();
    disk
}

#[test]
fn crc_is_the_one_of_the_standard() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn a_table_comes_back() {
    for sector_bytes in [512, 4096] {
        let table = image_table(Geometry {
            sector_bytes,
            ..GEOMETRY
        });
        let disk = written(&table);
        let (back, copy) = Table::read(&disk, table.geometry).unwrap();
        assert_eq!((&back, copy), (&table, Copy::Primary));
        assert_eq!(back.named("root-b").unwrap().number, 3);
        assert_eq!(back.named("data"), None);
    }
}

#[test]
fn data_fills_the_disk_and_grows_with_it() {
    let table = image_table(GEOMETRY)
        .with_partition("data", [9; 16], 1 << 20)
        .unwrap();
    let data = table.named("data").unwrap();
    assert_eq!(
        (data.number, data.first % 2048, data.is_made),
        (5, 0, false)
    );
    assert_eq!(data.last, GEOMETRY.sectors - 34);
    assert_eq!(table.with_grown(5), None, "nothing to grow into");
    assert!(table.with_made(5).unwrap().named("data").unwrap().is_made);

    let mut disk = written(&table);
    let larger = Geometry {
        sectors: GEOMETRY.sectors * 2,
        ..GEOMETRY
    };
    disk.bytes.resize(disk.bytes.len() * 2, 0);
    let (table, copy) = Table::read(&disk, larger).unwrap();
    assert_eq!(copy, Copy::Primary);
    let grown = table.with_grown(5).unwrap();
    grown.write(&mut disk).unwrap();
    let (grown, _) = Table::read(&disk, larger).unwrap();
    assert_eq!(grown.named("data").unwrap().last, larger.sectors - 34);
    assert_eq!(grown.named("data").unwrap().first, data.first);
    assert_eq!(
        grown.with_grown(4),
        None,
        "only the last partition can grow"
    );
}

#[test]
fn a_small_disk_is_refused_with_the_reason() {
    let fault = image_table(GEOMETRY)
        .with_partition("data", [9; 16], 1 << 30)
        .unwrap_err();
    assert!(fault.to_string().contains("larger disk"), "{fault}");
}

#[test]
fn two_of_one_name_are_none() {
    let mut table = image_table(GEOMETRY);
    let copy = table.entries[ENTRY_BYTES..2 * ENTRY_BYTES].to_vec();
    table.entries[2 * ENTRY_BYTES..3 * ENTRY_BYTES].copy_from_slice(&copy);
    assert_eq!(table.named("root-a"), None);
}

/// Every power cut while a table is replaced: all writes before a cut, and of those not yet
/// synced any subset, the last one torn in its middle.
#[test]
fn every_power_cut_leaves_the_old_table_or_the_new_one() {
    let old = image_table(GEOMETRY);
    let new = old
        .with_partition("data", [9; 16], 1 << 20)
        .unwrap()
        .with_made(4)
        .unwrap();
    let before = written(&old);
    let mut after = before.clone();
    new.write(&mut after).unwrap();
    let writes = after.writes;
    let (mut states, mut olds, mut news) = (0, 0, 0);
    for cut in 0..=writes.len() {
        let (done, synced) = (
            &writes[..cut],
            writes[..cut].iter().rposition(|w| w.0 == u64::MAX),
        );
        let (safe, open) = done.split_at(synced.map_or(0, |at| at + 1));
        for seed in 0..8u64 {
            let mut disk = before.clone();
            let kept = (0u64..)
                .zip(open)
                .filter(|(i, _)| seed == 0 || (seed >> (i % 3)) & 1 == 0);
            for (offset, bytes) in safe.iter().chain(kept.map(|(_, w)| w)) {
                if *offset != u64::MAX {
                    disk.put(bytes, *offset);
                }
            }
            let (table, _) = Table::read(&disk, GEOMETRY).unwrap();
            assert!(table == old || table == new, "cut at {cut}, subset {seed}");
            states += 1;
            olds += usize::from(table == old);
            news += usize::from(table == new);
        }
    }
    assert!(
        states > 400 && olds > 0 && news > 0,
        "{states} {olds} {news}"
    );
}

/// Control: without the wait between the copies there is a state that has neither.
#[test]
fn the_wait_between_the_copies_is_needed() {
    let old = image_table(GEOMETRY);
    let new = old.with_partition("data", [9; 16], 1 << 20).unwrap();
    let mut torn = written(&old);
    let mut after = torn.clone();
    new.write(&mut after).unwrap();
    let headers = after.writes.iter().filter(|w| w.1.starts_with(SIGNATURE));
    for (offset, header) in headers.cloned().collect::<Vec<_>>() {
        torn.put(&header, offset);
    }
    assert!(Table::read(&torn, GEOMETRY).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_bytes_are_seen_or_harmless(at in 512usize..17_408, to: u8) {
        let table = image_table(GEOMETRY);
        let mut disk = written(&table);
        disk.bytes[at] = to;
        let (back, _) = Table::read(&disk, GEOMETRY).unwrap();
        prop_assert_eq!(back, table);
    }

    #[test]
    fn no_bytes_panic(noise in prop::collection::vec(any::<u8>(), 92), crc: bool) {
        let mut disk = written(&image_table(GEOMETRY));
        let mut header = noise;
        header[..8].copy_from_slice(SIGNATURE);
        if crc {
            header[12..16].copy_from_slice(&92u32.to_le_bytes());
            header[16..20].fill(0);
            let sum = crc32(&header);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
        }
        disk.put(&header, 512);
        let _ = Table::read(&disk, GEOMETRY);
        disk.put(&header, (GEOMETRY.sectors - 1) * 512);
        let _ = Table::read(&disk, GEOMETRY);
    }

    #[test]
    fn any_entries_are_read_without_panic(entries in prop::collection::vec(any::<u8>(), 16_384)) {
        let table = Table { entries, ..image_table(GEOMETRY) };
        let disk = written(&table);
        if let Ok((table, _)) = Table::read(&disk, GEOMETRY) {
            let _ = (table.with_partition("data", [1; 16], 0), table.with_grown(5));
        }
    }
}
