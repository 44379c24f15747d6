//! The durable content of one file, and its pending changes, which may survive a power cut.

use crate::random::Random;

/// The size of the unit that a disk writes atomically.
pub(crate) const SECTOR: usize = 512;

/// A change of a file that is not durable yet.
pub(crate) enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
    Delete,
}

impl Change {
    /// Returns the length that a file of `length` bytes has after this change.
    fn length(&self, length: usize) -> usize {
        match self {
            Change::Write { at, bytes } => length.max(at + bytes.len()),
            Change::Truncate(to) => *to,
            Change::Delete => 0,
        }
    }

    /// Returns the range of bytes that this change sets, in a file that is never longer than `most`.
    fn touches(&self, most: usize) -> std::ops::Range<usize> {
        match self {
            Change::Write { at, bytes } => *at..at + bytes.len(),
            Change::Truncate(to) => *to..most.max(*to),
            Change::Delete => 0..most,
        }
    }
}

/// Which pending changes survive a power cut.
#[derive(Clone, Copy)]
pub(crate) enum Survival {
    None,
    All,
    /// A random choice for each file.
    Random,
}

/// A file on the disk, with the changes that are not durable yet.
#[derive(Default)]
pub(crate) struct Image {
    /// `None` if the file doesn't exist.
    durable: Option<Vec<u8>>,
    pending: Vec<Change>,
}

impl Image {
    /// Creates the image of a file that existed before the disk watched it. Its whole content counts as durable.
    pub(crate) fn existing(content: Option<Vec<u8>>) -> Self {
        Image { durable: content, pending: Vec::new() }
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.pending.push(change);
    }

    /// Makes all changes durable, and the existence of the file.
    pub(crate) fn sync(&mut self) {
        self.delete_durably();
        let content = self.durable.take().unwrap_or_default();
        self.durable = Some(all(content, &self.pending));
        self.pending.clear();
    }

    /// Makes deletes durable, but no change that follows the last delete.
    pub(crate) fn delete_durably(&mut self) {
        if let Some(last) = self.pending.iter().rposition(|change| matches!(change, Change::Delete)) {
            self.pending.drain(..=last);
            self.durable = None;
        }
    }

    /// Drops the writes that were not synced. Truncates and deletes stay, because they are not in dirty pages but in
    /// the journal of the file system.
    pub(crate) fn drop_writes(&mut self) {
        self.pending.retain(|change| !matches!(change, Change::Write { .. }));
    }

    /// Returns the content after a power cut, or `None` if the file does not exist then.
    pub(crate) fn surviving(&self, survival: Survival, random: &mut Random) -> Option<Vec<u8>> {
        // A file that was deleted and created again is a different file, whose sectors don't mix with the old ones.
        let files: Vec<&[Change]> = self.pending.split(|change| matches!(change, Change::Delete)).collect();
        let chosen = match survival {
            Survival::None => 0,
            Survival::All => files.len() - 1,
            Survival::Random => random.up_to(files.len() - 1),
        };
        let durable = if chosen == 0 { self.durable.clone() } else { None };
        let changes = files[chosen];
        match survival {
            Survival::None => durable,
            _ if changes.is_empty() => durable,
            Survival::All => Some(all(durable.unwrap_or_default(), changes)),
            Survival::Random => some(durable, changes, random),
        }
    }
}

/// Returns the content after all changes.
fn all(mut content: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = change.length(content.len());
        content.resize(length, 0);
        if let Change::Write { at, bytes } = change {
            content[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
    }
    content
}

/// Returns the content after some of the changes, in one of the ways in which a disk may lose the others.
fn some(durable: Option<Vec<u8>>, changes: &[Change], random: &mut Random) -> Option<Vec<u8>> {
    let count = changes.len();
    let before = durable.as_ref().map_or(0, Vec::len);
    let most = most(before, changes);
    let mut kept = Kept { sectors: vec![0; most.div_ceil(SECTOR)], length: before };
    match random.up_to(4) {
        0 => return durable,
        1 => return Some(all(durable.unwrap_or_default(), changes)),
        // All changes up to one that is torn.
        2 => {
            let torn = random.up_to(count - 1);
            kept.sectors.iter_mut().for_each(|kept| *kept = torn + usize::from(random.coin()));
            let whole = &changes[..torn + usize::from(random.coin())];
            kept.length = whole.iter().fold(before, |length, change| change.length(length));
        }
        // Some changes, each completely.
        3 => {
            for (index, change) in changes.iter().enumerate().filter(|_| random.coin()) {
                kept.length = change.length(kept.length);
                let touched = change.touches(most);
                let end = touched.end.div_ceil(SECTOR);
                kept.sectors[touched.start / SECTOR..end].fill(index + 1);
            }
        }
        // Each sector, and the length of the file, after a different number of changes.
        _ => {
            kept.sectors.iter_mut().for_each(|kept| *kept = at_some_time(count, random));
            let counted = &changes[..at_some_time(count, random)];
            kept.length = counted.iter().fold(before, |length, change| change.length(length));
        }
    }
    if durable.is_none() && kept.length == 0 {
        return None;
    }
    Some(kept.of(durable.unwrap_or_default(), changes, most))
}

/// Returns a number of changes. Often it is none or all, because few sectors are written more than twice.
fn at_some_time(count: usize, random: &mut Random) -> usize {
    match random.up_to(2) {
        0 => 0,
        1 => count,
        _ => random.up_to(count),
    }
}

/// Returns the greatest length that a file of `length` bytes has during the changes.
fn most(length: usize, changes: &[Change]) -> usize {
    let lengths = changes.iter().scan(length, |length, change| {
        *length = change.length(*length);
        Some(*length)
    });
    lengths.fold(length, usize::max)
}

/// How many of a file's changes survive.
struct Kept {
    /// For each sector, the number of changes that were applied before it was written to the disk.
    sectors: Vec<usize>,
    length: usize,
}

impl Kept {
    fn of(&self, mut content: Vec<u8>, changes: &[Change], most: usize) -> Vec<u8> {
        content.resize(most, 0);
        for (index, change) in changes.iter().enumerate() {
            let touched = change.touches(most);
            let sectors = touched.start / SECTOR..touched.end.div_ceil(SECTOR);
            for sector in sectors.filter(|sector| self.sectors[*sector] > index) {
                let start = touched.start.max(sector * SECTOR);
                let end = touched.end.min((sector + 1) * SECTOR);
                match change {
                    Change::Write { at, bytes } => {
                        content[start..end].copy_from_slice(&bytes[start - at..end - at]);
                    }
                    Change::Truncate(_) | Change::Delete => content[start..end].fill(0),
                }
            }
        }
        content.resize(self.length, 0);
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn write(at: usize, length: usize, byte: u8) -> Change {
        Change::Write { at, bytes: vec![byte; length] }
    }

    fn survivors(image: &Image) -> BTreeSet<Option<Vec<u8>>> {
        (0..500).map(|seed| image.surviving(Survival::Random, &mut Random::new(seed))).collect()
    }

    #[test]
    fn only_what_was_synced_is_durable() {
        let mut image = Image::default();
        image.change(write(0, 100, 1));
        assert_eq!(image.surviving(Survival::None, &mut Random::new(0)), None);
        image.sync();
        image.change(write(50, 100, 2));
        image.change(Change::Truncate(120));
        assert_eq!(image.surviving(Survival::None, &mut Random::new(0)), Some(vec![1; 100]));
        let mut after = vec![1; 50];
        after.resize(120, 2);
        assert_eq!(image.surviving(Survival::All, &mut Random::new(0)), Some(after.clone()));
        image.sync();
        assert_eq!(image.surviving(Survival::None, &mut Random::new(0)), Some(after));
    }

    #[test]
    fn sectors_are_torn_from_each_other_but_whole() {
        let mut image = Image::existing(Some(vec![0; 3 * SECTOR]));
        image.change(write(0, 3 * SECTOR, 1));
        let survivors = survivors(&image);
        assert_eq!(survivors.len(), 8, "each of the three sectors is old or new");
        for content in survivors.into_iter().flatten() {
            assert!(content.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        }
    }

    #[test]
    fn a_later_write_of_a_sector_brings_the_earlier_ones() {
        let mut image = Image::existing(Some(vec![0; SECTOR]));
        image.change(write(0, 10, 1));
        image.change(write(10, 10, 2));
        for content in survivors(&image).into_iter().flatten() {
            assert!(content[10] == 0 || content[0] == 1);
        }
    }

    #[test]
    fn a_deleted_file_may_come_back_until_the_delete_is_durable() {
        let mut image = Image::existing(Some(vec![1; 10]));
        image.change(Change::Delete);
        assert_eq!(survivors(&image), [None, Some(vec![1; 10])].into());
        image.change(write(0, 20, 2));
        image.delete_durably();
        assert!(!survivors(&image).contains(&Some(vec![1; 10])));
        assert!(survivors(&image).contains(&Some(vec![2; 20])));
    }

    #[test]
    fn dropped_writes_never_become_durable() {
        let mut image = Image::existing(Some(vec![1; 10]));
        image.change(write(0, 5, 2));
        image.drop_writes();
        image.change(write(5, 5, 3));
        image.sync();
        let expected = vec![1, 1, 1, 1, 1, 3, 3, 3, 3, 3];
        assert_eq!(image.surviving(Survival::All, &mut Random::new(0)), Some(expected));
    }
}
