//! Records as rows of the log, each with a checksum.

use crc32fast::Hasher;
use events_core::{AdapterError, Draft, Record, RecordCodec, Timestamp};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};

use crate::error::{Result, StoreError};

/// A row of the log.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) position: i64,
    pub(crate) id: [u8; 16],
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) time: i64,
    pub(crate) origin: [u8; 16],
    /// Whether it was emitted in a user's transaction. Then the bus that emitted it calls its live handlers after the
    /// commit.
    pub(crate) outbox: bool,
    pub(crate) text: String,
}

/// The columns that [`Stored::read`] reads, in this order.
pub(crate) const COLUMNS: &str = "position, id, name, version, time, origin, outbox, crc, text";

impl Stored {
    /// Creates the row of a record. This fixes the record's timestamp.
    pub(crate) fn of(draft: &Draft, position: i64, outbox: bool) -> Self {
        let record = draft.record();
        Self {
            position,
            id: record.id().to_bytes(),
            name: record.name().to_owned(),
            version: record.version(),
            time: record.timestamp().as_micros(),
            origin: record.origin().to_bytes(),
            outbox,
            text: draft.complete(),
        }
    }

    /// Checksum of the row. It detects every change within 32 consecutive bits.
    pub(crate) fn crc(&self) -> u32 {
        let mut crc = Hasher::new();
        crc.update(&self.position.to_le_bytes());
        crc.update(&self.id);
        crc.update(&(self.name.len() as u64).to_le_bytes());
        crc.update(self.name.as_bytes());
        crc.update(&self.version.to_le_bytes());
        crc.update(&self.time.to_le_bytes());
        crc.update(&self.origin);
        crc.update(&[u8::from(self.outbox)]);
        crc.update(self.text.as_bytes());
        crc.finalize()
    }

    /// Reads a row. Returns an error if it does not match its checksum.
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        let position: i64 = row.get(0).map_err(|_| damaged("a record has no position"))?;
        let read = || -> rusqlite::Result<(Self, u32)> {
            let stored = Self {
                position,
                id: row.get(1)?,
                name: row.get(2)?,
                version: row.get(3)?,
                time: row.get(4)?,
                origin: row.get(5)?,
                outbox: row.get(6)?,
                text: row.get(8)?,
            };
            Ok((stored, row.get(7)?))
        };
        match read() {
            Ok((stored, crc)) if stored.crc() == crc => Ok(stored),
            Ok(_) => Err(damaged(&format!("the record at {position} does not match its checksum"))),
            Err(error) => Err(damaged(&format!("the record at {position} can't be read: {error}"))),
        }
    }

    pub(crate) fn record(&self, codec: &RecordCodec) -> std::result::Result<Record, AdapterError> {
        Ok(codec.decode(&self.text)?)
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

/// Returns the bytes of a text column, even if they are not UTF-8.
pub(crate) fn bytes_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u8>> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
        other => Err(rusqlite::Error::InvalidColumnType(
            column,
            "text".into(),
            match other {
                ValueRef::Null => Type::Null,
                ValueRef::Integer(_) => Type::Integer,
                _ => Type::Real,
            },
        )),
    }
}

/// Appends records to the log within a transaction.
pub(crate) struct Appender<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    /// Position of the newest record.
    position: i64,
    time: Timestamp,
}

impl<'c> Appender<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        let newest = connection.prepare_cached(NEWEST)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
        let (position, time) = newest.optional()?.unwrap_or_default();
        let insert = connection.prepare_cached(INSERT)?;
        Ok(Self { connection, insert, position, time: Timestamp::from_micros(time) })
    }

    /// Returns the position of the newest record.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// Appends records. Returns the indexes of those whose ids the log had already, and the stored records.
    pub(crate) fn append(&mut self, drafts: &[Draft]) -> Result<Vec<(usize, Option<Stored>)>> {
        let mut duplicates = Vec::new();
        for (index, draft) in drafts.iter().enumerate() {
            // The clock of another process may be ahead.
            draft.record().stamp_after(self.time);
            let stored = Stored::of(draft, self.position + 1, false);
            let Stored { position, id, name, version, time, origin, outbox, text } = &stored;
            let row = (position, id, name, version, time, origin, outbox, stored.crc(), text);
            match self.insert.execute(row)? {
                0 => duplicates.push((index, of_id(self.connection, id)?)),
                _ => self.position += 1,
            }
        }
        Ok(duplicates)
    }
}

pub(crate) const INSERT: &str = "INSERT INTO typed_events_log
    (position, id, name, version, time, origin, outbox, crc, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (id) DO NOTHING";

/// Selects the position and time of the newest record.
pub(crate) const NEWEST: &str = "SELECT position, time FROM typed_events_log ORDER BY position DESC LIMIT 1";

/// Returns the newest position, or 0 if the log is empty.
pub(crate) fn last(connection: &Connection) -> Result<i64> {
    let last = "SELECT coalesce(max(position), 0) FROM typed_events_log";
    Ok(connection.prepare_cached(last)?.query_row([], |row| row.get(0))?)
}

/// Returns the last position that was trimmed.
pub(crate) fn trimmed(connection: &Connection) -> Result<i64> {
    let trimmed = "SELECT trimmed FROM typed_events_meta WHERE one = 1";
    let trimmed = connection.prepare_cached(trimmed)?.query_row([], |row| row.get(0)).optional()?;
    trimmed.ok_or_else(|| damaged("the last trimmed position is missing"))
}

/// Returns the record with an id, unless it is damaged.
fn of_id(connection: &Connection, id: &[u8]) -> Result<Option<Stored>> {
    let mut query =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM typed_events_log WHERE id = ?1"))?;
    let mut rows = query.query([id])?;
    Ok(rows.next()?.and_then(|row| Stored::read(row).ok()))
}

/// Returns the first position whose record has this time or a later one, or the position after the newest record if
/// none has.
///
/// # Complexity
///
/// Logarithmic in the number of stored records, because times never decrease along the log.
pub(crate) fn position_at(connection: &Connection, time: i64) -> Result<i64> {
    let (mut low, mut high) = (trimmed(connection)? + 1, last(connection)? + 1);
    let mut of = connection.prepare_cached("SELECT time FROM typed_events_log WHERE position = ?1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<i64> = of.query_row([middle], |row| row.get(0)).optional()?;
        match found {
            Some(found) if found >= time => high = middle,
            Some(_) => low = middle + 1,
            None => return Err(damaged(&format!("the record at {middle} is missing"))),
        }
    }
    Ok(low)
}
