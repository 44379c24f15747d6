//! The storage of durable consumers. Every query is answered by an index, which a test asserts.

use std::collections::BTreeMap;

use crc32fast::Hasher;
use events_core::durable::{ConsumerId, Kind, Position, SessionId, Token};
use events_core::store::{
    Announced, Dead, Header, KindId, KnownKind, Member, Meta, Micros, Named, Profile, Progress, Row, Rows,
    Session, StoredRecord,
};
use events_core::{EventId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Params};

use crate::error::{Result, StoreError};
use crate::log::{self, COLUMNS, Stored, bytes_of};

/// The tables of a connection.
pub(crate) struct Tables<'c>(pub(crate) &'c Connection);

/// Reads the state of all consumers, which compares it with its checksums.
pub(crate) fn check(connection: &Connection) -> Result<()> {
    let mut tables = Tables(connection);
    tables.meta()?;
    for ended in [false, true] {
        for (session, _) in tables.sessions(ended)? {
            for consumer in tables.consumers_of(session)? {
                tables.member(consumer, session)?;
                tables.progress(consumer, session)?;
            }
        }
    }
    for consumer in tables.consumers()? {
        tables.header(consumer)?;
        tables.profile(consumer)?;
    }
    Ok(())
}

impl Tables<'_> {
    fn change<P: Params>(&self, sql: &str, values: P) -> Result<usize> {
        Ok(self.0.prepare_cached(sql)?.execute(values)?)
    }

    fn one<T, P: Params>(
        &self,
        sql: &str,
        values: P,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.0.prepare_cached(sql)?.query_row(values, read).optional()?)
    }

    fn all<T, P: Params>(
        &self,
        sql: &str,
        values: P,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut query = self.0.prepare_cached(sql)?;
        let rows = query.query_map(values, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn state<T: serde::de::DeserializeOwned, P: Params>(
        &self,
        sql: &str,
        values: P,
        of: &Of<'_>,
    ) -> Result<Option<T>> {
        let found = self.one(sql, values, |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))?;
        found.map(|(text, crc)| of.open(&text, crc)).transpose()
    }

    fn rows<P: Params>(&self, filter: &str, values: P) -> Result<Vec<Row>> {
        self.all(&format!("SELECT {ROW} FROM typed_events_rows {filter}"), values, row_of)
    }

    fn dead_letters<P: Params>(&self, filter: &str, values: P) -> Result<Vec<Dead>> {
        self.all(&format!("SELECT {DEAD} FROM typed_events_dead {filter}"), values, dead_of)
    }
}

/// What a state belongs to. Its checksum covers that, too.
struct Of<'a> {
    table: &'a str,
    consumer: i64,
    session: SessionId,
}

impl<'a> Of<'a> {
    fn new(table: &'a str, consumer: ConsumerId, session: SessionId) -> Self {
        Self { table, consumer: consumer.0.cast_signed(), session }
    }

    fn consumer(table: &'a str, consumer: ConsumerId) -> Self {
        Self::new(table, consumer, SessionId::default())
    }

    fn crc(&self, text: &str) -> u32 {
        let mut crc = Hasher::new();
        crc.update(self.table.as_bytes());
        crc.update(&self.consumer.to_le_bytes());
        crc.update(&self.session.to_bytes());
        crc.update(text.as_bytes());
        crc.finalize()
    }

    fn open<T: serde::de::DeserializeOwned>(&self, text: &str, crc: u32) -> Result<T> {
        let Self { table, .. } = self;
        if self.crc(text) != crc {
            return Err(StoreError::Damaged(format!("a state of {table} does not match its checksum")));
        }
        serde_json::from_str(text)
            .map_err(|error| StoreError::Damaged(format!("a state of {table} can't be read: {error}")))
    }

    fn seal<T: serde::Serialize>(&self, state: &T) -> Result<(String, u32)> {
        let text = serde_json::to_string(state).map_err(|error| {
            StoreError::Damaged(format!("a state of {} can't be written: {error}", self.table))
        })?;
        let crc = self.crc(&text);
        Ok((text, crc))
    }
}

fn signed(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn at_most(limit: usize) -> i64 {
    limit.try_into().unwrap_or(i64::MAX)
}

fn position(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Position> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn session(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<SessionId> {
    Ok(SessionId::from_bytes(row.get(column)?))
}

fn token(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Token>> {
    let (session, number): (Option<[u8; 16]>, Option<i64>) = (row.get(column)?, row.get(column + 1)?);
    let token = |session| Token {
        session: SessionId::from_bytes(session),
        number: number.unwrap_or(0).unsigned_abs(),
    };
    Ok(session.map(token))
}

fn columns_of(token: Option<Token>) -> (Option<[u8; 16]>, Option<i64>) {
    (token.map(|token| token.session.to_bytes()), token.map(|token| signed(token.number)))
}

const ROW: &str =
    "position, kind, slot, blocked, key, attempts, due, session, number, suspect, solo, copied, error, first";

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        position: position(row, 0)?,
        kind: row.get(1)?,
        in_hand: row.get::<_, i64>(2)? == 0,
        blocked: row.get(3)?,
        key: row.get(4)?,
        attempts: row.get(5)?,
        due: row.get(6)?,
        token: token(row, 7)?,
        suspect: row.get(9)?,
        solo: row.get(10)?,
        copied: row.get(11)?,
        error: row.get(12)?,
        first: row.get(13)?,
    })
}

const RECORD: &str = "id, name, version, damaged, text, crc";

const DEAD: &str = "id, name, version, damaged, text, crc, position, key, error, attempts, first, last, lost_session, lost_number,
    announced, by_session, by_number";

/// A copy of a record. If it does not match its checksum, it is damaged.
fn record_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredRecord> {
    let mut record = StoredRecord {
        event: EventId::from_bytes(row.get(0)?),
        kind: Kind { name: row.get(1)?, version: row.get(2)? },
        damaged: row.get(3)?,
        bytes: bytes_of(row, 4)?,
    };
    record.damaged |= crc(&record) != row.get::<_, u32>(5)?;
    Ok(record)
}

fn crc(record: &StoredRecord) -> u32 {
    let mut crc = Hasher::new();
    crc.update(&record.event.to_bytes());
    crc.update(&(record.kind.name.len() as u64).to_le_bytes());
    crc.update(record.kind.name.as_bytes());
    crc.update(&record.kind.version.to_le_bytes());
    crc.update(&record.bytes);
    crc.finalize()
}

/// A text column keeps bytes that are not UTF-8 as a blob.
fn text_of(bytes: &[u8]) -> rusqlite::types::ToSqlOutput<'_> {
    rusqlite::types::ToSqlOutput::Borrowed(match std::str::from_utf8(bytes) {
        Ok(_) => rusqlite::types::ValueRef::Text(bytes),
        Err(_) => rusqlite::types::ValueRef::Blob(bytes),
    })
}

fn dead_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Dead> {
    let announced = match (row.get::<_, i64>(14)?, token(row, 15)?) {
        (0, _) => Announced::No,
        (1, Some(token)) => Announced::By(token),
        _ => Announced::Yes,
    };
    let (record, mut error): (_, String) = (record_of(row)?, row.get(8)?);
    // If the record was damaged already when it was claimed, the error says so.
    if record.damaged && !error.contains("damaged") {
        error = format!("the stored record is damaged by now; the last attempt failed with: {error}");
    }
    Ok(Dead {
        record,
        position: position(row, 6)?,
        key: row.get(7)?,
        error,
        attempts: row.get(9)?,
        first: row.get(10)?,
        last: row.get(11)?,
        lost: token(row, 12)?,
        announced,
    })
}

fn columns_of_announced(announced: Announced) -> (i64, Option<[u8; 16]>, Option<i64>) {
    let (number, token) = match announced {
        Announced::No => (0, None),
        Announced::By(token) => (1, Some(token)),
        Announced::Yes => (2, None),
    };
    let (session, by_number) = columns_of(token);
    (number, session, by_number)
}

impl Rows for Tables<'_> {
    type Error = StoreError;

    fn meta(&mut self) -> Result<Meta> {
        let of = Of::consumer("durable", ConsumerId(0));
        let meta = "SELECT state, crc FROM typed_events_durable WHERE one = 1";
        Ok(self.state(meta, [], &of)?.unwrap_or_default())
    }

    fn put_meta(&mut self, meta: &Meta) -> Result<()> {
        let (text, crc) = Of::consumer("durable", ConsumerId(0)).seal(meta)?;
        let put = "INSERT OR REPLACE INTO typed_events_durable (one, state, crc) VALUES (1, ?1, ?2)";
        self.change(put, (text, crc)).map(drop)
    }

    fn newest(&mut self) -> Result<Position> {
        Ok(log::last(self.0)?.unsigned_abs())
    }

    fn begins(&mut self) -> Result<Position> {
        Ok(log::trimmed(self.0)?.unsigned_abs() + 1)
    }

    fn event_at(&mut self, position: Position) -> Result<Option<EventId>> {
        let id = "SELECT id FROM typed_events_log WHERE position = ?1";
        // A damaged id says nothing of a loss of data.
        let id = self.one(id, [signed(position)], |row| Ok(row.get::<_, [u8; 16]>(0).ok()))?;
        Ok(id.flatten().map(EventId::from_bytes))
    }

    fn record_at(&mut self, position: Position) -> Result<Option<StoredRecord>> {
        let query = format!("SELECT {COLUMNS} FROM typed_events_log WHERE position = ?1");
        self.one(&query, [signed(position)], |row| {
            Ok(StoredRecord {
                event: EventId::from_bytes(row.get(1).unwrap_or_default()),
                kind: Kind { name: row.get(2).unwrap_or_default(), version: row.get(3).unwrap_or_default() },
                bytes: bytes_of(row, 8).unwrap_or_default(),
                damaged: Stored::read(row).is_err(),
            })
        })
    }

    fn find(&mut self, event: EventId) -> Result<Option<(Position, String)>> {
        let find = "SELECT position, name FROM typed_events_log WHERE id = ?1";
        self.one(find, [event.to_bytes()], |row| Ok((position(row, 0)?, row.get(1)?)))
    }

    fn position_at(&mut self, time: Timestamp) -> Result<Position> {
        Ok(log::position_at(self.0, time.as_micros())?.unsigned_abs())
    }

    fn names_between(&mut self, from: Position, to: Position) -> Result<Vec<(String, u64)>> {
        let count = "SELECT name, count(*) FROM typed_events_log INDEXED BY typed_events_log_name
            WHERE position BETWEEN ?1 AND ?2 GROUP BY name";
        self.all(count, (signed(from), signed(to)), |row| Ok((row.get(0)?, position(row, 1)?)))
    }

    fn trim_log(&mut self, to: Position) -> Result<()> {
        let trimmed = log::trimmed(self.0)?;
        let delete = "DELETE FROM typed_events_log WHERE position > ?1 AND position <= ?2";
        self.change(delete, (trimmed, signed(to)))?;
        self.change("UPDATE typed_events_meta SET trimmed = ?1 WHERE one = 1", [signed(to)]).map(drop)
    }

    fn session(&mut self, id: SessionId) -> Result<Option<Session>> {
        let of = Of::new("sessions", ConsumerId(0), id);
        let session = "SELECT state, crc FROM typed_events_sessions WHERE session = ?1";
        self.state(session, [id.to_bytes()], &of)
    }

    fn put_session(&mut self, id: SessionId, session: &Session) -> Result<()> {
        let (text, crc) = Of::new("sessions", ConsumerId(0), id).seal(session)?;
        let put = "INSERT OR REPLACE INTO typed_events_sessions (session, ended, state, crc) VALUES (?1, ?2, ?3, ?4)";
        self.change(put, (id.to_bytes(), session.ended.is_some(), text, crc)).map(drop)
    }

    fn delete_session(&mut self, id: SessionId) -> Result<()> {
        self.change("DELETE FROM typed_events_members WHERE session = ?1", [id.to_bytes()])?;
        self.change("DELETE FROM typed_events_progress WHERE session = ?1", [id.to_bytes()])?;
        self.change("DELETE FROM typed_events_sessions WHERE session = ?1", [id.to_bytes()]).map(drop)
    }

    fn sessions(&mut self, ended: bool) -> Result<Vec<(SessionId, Session)>> {
        let sessions = "SELECT session, state, crc FROM typed_events_sessions WHERE ended = ?1";
        let found = self.all(sessions, [ended], |row| {
            Ok((session(row, 0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
        })?;
        let open = |(id, text, crc): (_, String, _)| {
            Ok((id, Of::new("sessions", ConsumerId(0), id).open(&text, crc)?))
        };
        found.into_iter().map(open).collect()
    }

    fn name(&mut self, name: &str) -> Result<Option<Named>> {
        let named = "SELECT consumer FROM typed_events_names WHERE name = ?1";
        let consumer = self.one(named, [name], |row| position(row, 0))?;
        Ok(consumer.map(|id| if id == 0 { Named::Removed } else { Named::Consumer(ConsumerId(id)) }))
    }

    fn put_name(&mut self, name: &str, named: Named) -> Result<()> {
        let id = match named {
            Named::Consumer(id) => signed(id.0),
            Named::Removed => 0,
        };
        let put = "INSERT OR REPLACE INTO typed_events_names (name, consumer) VALUES (?1, ?2)";
        self.change(put, (name, id)).map(drop)
    }

    fn consumers(&mut self) -> Result<Vec<ConsumerId>> {
        let consumers = "SELECT consumer FROM typed_events_consumers WHERE removed = 0 ORDER BY consumer";
        self.all(consumers, [], |row| Ok(ConsumerId(position(row, 0)?)))
    }

    fn header(&mut self, id: ConsumerId) -> Result<Option<Header>> {
        let header = "SELECT state, crc FROM typed_events_consumers WHERE consumer = ?1";
        self.state(header, [signed(id.0)], &Of::consumer("consumers", id))
    }

    fn put_header(&mut self, id: ConsumerId, header: &Header) -> Result<()> {
        let (text, crc) = Of::consumer("consumers", id).seal(header)?;
        let put = "INSERT OR REPLACE INTO typed_events_consumers (consumer, removed, state, crc) VALUES (?1, ?2, ?3, ?4)";
        self.change(put, (signed(id.0), header.removed, text, crc)).map(drop)
    }

    fn profile(&mut self, id: ConsumerId) -> Result<Profile> {
        let profile = "SELECT state, crc FROM typed_events_profiles WHERE consumer = ?1";
        Ok(self.state(profile, [signed(id.0)], &Of::consumer("profiles", id))?.unwrap_or_default())
    }

    fn put_profile(&mut self, id: ConsumerId, profile: &Profile) -> Result<()> {
        let (text, crc) = Of::consumer("profiles", id).seal(profile)?;
        let put = "INSERT OR REPLACE INTO typed_events_profiles (consumer, state, crc) VALUES (?1, ?2, ?3)";
        self.change(put, (signed(id.0), text, crc)).map(drop)
    }

    fn member(&mut self, id: ConsumerId, session: SessionId) -> Result<Option<Member>> {
        let of = Of::new("members", id, session);
        let member = "SELECT state, crc FROM typed_events_members WHERE consumer = ?1 AND session = ?2";
        self.state(member, (signed(id.0), session.to_bytes()), &of)
    }

    fn put_member(&mut self, id: ConsumerId, session: SessionId, member: &Member, live: bool) -> Result<()> {
        let (text, crc) = Of::new("members", id, session).seal(member)?;
        let put = "INSERT OR REPLACE INTO typed_events_members (consumer, session, live, state, crc)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        self.change(put, (signed(id.0), session.to_bytes(), live, text, crc)).map(drop)
    }

    fn live_members(&mut self, id: ConsumerId) -> Result<BTreeMap<SessionId, Member>> {
        let live = "SELECT session, state, crc FROM typed_events_members WHERE consumer = ?1 AND live = 1";
        let found = self.all(live, [signed(id.0)], |row| {
            Ok((session(row, 0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?))
        })?;
        let open = |(session, text, crc): (_, String, _)| {
            Ok((session, Of::new("members", id, session).open(&text, crc)?))
        };
        found.into_iter().map(open).collect()
    }

    fn consumers_of(&mut self, session: SessionId) -> Result<Vec<ConsumerId>> {
        let consumers = "SELECT consumer FROM typed_events_members WHERE session = ?1";
        self.all(consumers, [session.to_bytes()], |row| Ok(ConsumerId(position(row, 0)?)))
    }

    fn progress(&mut self, id: ConsumerId, session: SessionId) -> Result<Option<Progress>> {
        let of = Of::new("progress", id, session);
        let progress = "SELECT state, crc FROM typed_events_progress WHERE consumer = ?1 AND session = ?2";
        self.state(progress, (signed(id.0), session.to_bytes()), &of)
    }

    fn put_progress(&mut self, id: ConsumerId, session: SessionId, progress: &Progress) -> Result<()> {
        let (text, crc) = Of::new("progress", id, session).seal(progress)?;
        let put = "INSERT OR REPLACE INTO typed_events_progress (consumer, session, state, crc) VALUES (?1, ?2, ?3, ?4)";
        self.change(put, (signed(id.0), session.to_bytes(), text, crc)).map(drop)
    }

    fn kinds(&mut self, id: ConsumerId) -> Result<Vec<KnownKind>> {
        let kinds = "SELECT kind, name, version, open FROM typed_events_kinds WHERE consumer = ?1";
        self.all(kinds, [signed(id.0)], |row| {
            let kind = Kind { name: row.get(1)?, version: row.get(2)? };
            Ok(KnownKind { id: row.get(0)?, kind, open: row.get(3)? })
        })
    }

    fn put_kind(&mut self, id: ConsumerId, kind: &KnownKind) -> Result<()> {
        let put = "INSERT OR REPLACE INTO typed_events_kinds (consumer, kind, name, version, open)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        let KnownKind { id: number, kind, open } = kind;
        self.change(put, (signed(id.0), number, &kind.name, kind.version, open)).map(drop)
    }

    fn row(&mut self, id: ConsumerId, position: Position) -> Result<Option<Row>> {
        let row = format!("SELECT {ROW} FROM typed_events_rows WHERE consumer = ?1 AND position = ?2");
        self.one(&row, (signed(id.0), signed(position)), row_of)
    }

    fn put_row(&mut self, id: ConsumerId, old: Option<&Row>, row: &Row) -> Result<()> {
        let put = match old {
            None => INSERT_ROW,
            Some(_) => UPDATE_ROW,
        };
        let (session, number) = columns_of(row.token);
        let values = rusqlite::params![
            signed(id.0),
            signed(row.position),
            row.kind,
            row.slot(),
            row.blocked,
            row.key,
            row.attempts,
            row.due,
            session,
            number,
            row.suspect,
            row.solo,
            row.copied,
            row.error,
            row.first,
        ];
        self.change(put, values).map(drop)
    }

    fn delete_row(&mut self, id: ConsumerId, old: &Row) -> Result<()> {
        let delete = "DELETE FROM typed_events_rows WHERE consumer = ?1 AND position = ?2";
        self.change(delete, (signed(id.0), signed(old.position))).map(drop)
    }

    fn copy(&mut self, id: ConsumerId, position: Position) -> Result<Option<StoredRecord>> {
        let copy = format!("SELECT {RECORD} FROM typed_events_copies WHERE consumer = ?1 AND position = ?2");
        self.one(&copy, (signed(id.0), signed(position)), record_of)
    }

    fn put_copy(&mut self, id: ConsumerId, position: Position, record: &StoredRecord) -> Result<()> {
        let put = "INSERT OR REPLACE INTO typed_events_copies
            (consumer, position, id, name, version, damaged, text, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let StoredRecord { event, kind, bytes, damaged } = record;
        let (id, position) = (signed(id.0), signed(position));
        let (event, text, crc) = (event.to_bytes(), text_of(bytes), crc(record));
        self.change(put, (id, position, event, &kind.name, kind.version, damaged, text, crc)).map(drop)
    }

    fn delete_copy(&mut self, id: ConsumerId, position: Position) -> Result<()> {
        let delete = "DELETE FROM typed_events_copies WHERE consumer = ?1 AND position = ?2";
        self.change(delete, (signed(id.0), signed(position))).map(drop)
    }

    fn rows_between(
        &mut self,
        id: ConsumerId,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let filter = "WHERE consumer = ?1 AND position BETWEEN ?2 AND ?3 ORDER BY position LIMIT ?4";
        self.rows(filter, (signed(id.0), signed(from), signed(to), at_most(limit)))
    }

    fn last_row(&mut self, id: ConsumerId) -> Result<Option<Position>> {
        let last =
            "SELECT position FROM typed_events_rows WHERE consumer = ?1 ORDER BY position DESC LIMIT 1";
        self.one(last, [signed(id.0)], |row| position(row, 0))
    }

    fn first_uncopied(&mut self, id: ConsumerId) -> Result<Option<Position>> {
        let first = "SELECT position FROM typed_events_rows WHERE consumer = ?1 AND copied = 0
            ORDER BY position LIMIT 1";
        self.one(first, [signed(id.0)], |row| position(row, 0))
    }

    fn due(
        &mut self,
        id: ConsumerId,
        kind: KindId,
        suspect: bool,
        at: Micros,
        limit: usize,
    ) -> Result<Vec<Row>> {
        self.rows(DUE, (signed(id.0), kind, suspect, at, at_most(limit)))
    }

    fn due_after(
        &mut self,
        id: ConsumerId,
        kind: KindId,
        suspect: bool,
        after: Micros,
    ) -> Result<Option<Micros>> {
        self.one(DUE_AFTER, (signed(id.0), kind, suspect, after), |row| row.get(0))
    }

    fn waiting(&mut self, id: ConsumerId, kind: KindId, from: Position, limit: usize) -> Result<Vec<Row>> {
        self.rows(WAITING, (signed(id.0), kind, signed(from), at_most(limit)))
    }

    fn count_waiting(&mut self, id: ConsumerId, kind: KindId) -> Result<u64> {
        Ok(self.one(COUNT_WAITING, (signed(id.0), kind), |row| position(row, 0))?.unwrap_or(0))
    }

    fn in_hand(
        &mut self,
        id: ConsumerId,
        session: SessionId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Row>> {
        self.rows(IN_HAND, (signed(id.0), session.to_bytes(), signed(from), at_most(limit)))
    }

    fn count_in_hand(&mut self, id: ConsumerId, session: SessionId) -> Result<usize> {
        let values = (signed(id.0), session.to_bytes());
        let counted = self.one(COUNT_IN_HAND, values, |row| position(row, 0))?;
        Ok(counted.unwrap_or(0) as usize)
    }

    fn first_of_key(&mut self, id: ConsumerId, key: &str, slot: u32) -> Result<Option<(u32, Position)>> {
        self.one(FIRST_OF_KEY, (signed(id.0), key, slot), |row| Ok((row.get(0)?, position(row, 1)?)))
    }

    fn dead(&mut self, id: ConsumerId, position: Position) -> Result<Option<Dead>> {
        let dead = format!("SELECT {DEAD} FROM typed_events_dead WHERE consumer = ?1 AND position = ?2");
        self.one(&dead, (signed(id.0), signed(position)), dead_of)
    }

    fn put_dead(&mut self, id: ConsumerId, _: Option<&Dead>, dead: &Dead) -> Result<()> {
        let put = "INSERT OR REPLACE INTO typed_events_dead
            (consumer, position, id, name, version, damaged, text, crc, key, error, attempts, first, last,
                lost_session, lost_number, announced, by_session, by_number)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
        let (lost_session, lost_number) = columns_of(dead.lost);
        let (announced, by_session, by_number) = columns_of_announced(dead.announced);
        let values = rusqlite::params![
            signed(id.0),
            signed(dead.position),
            dead.record.event.to_bytes(),
            dead.record.kind.name,
            dead.record.kind.version,
            dead.record.damaged,
            text_of(&dead.record.bytes),
            crc(&dead.record),
            dead.key,
            dead.error,
            dead.attempts,
            dead.first,
            dead.last,
            lost_session,
            lost_number,
            announced,
            by_session,
            by_number,
        ];
        self.change(put, values).map(drop)
    }

    fn delete_dead(&mut self, id: ConsumerId, old: &Dead) -> Result<()> {
        let delete = "DELETE FROM typed_events_dead WHERE consumer = ?1 AND position = ?2";
        self.change(delete, (signed(id.0), signed(old.position))).map(drop)
    }

    fn dead_between(
        &mut self,
        id: ConsumerId,
        after: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<Dead>> {
        let filter = "WHERE consumer = ?1 AND position > ?2 AND position <= ?3 ORDER BY position LIMIT ?4";
        self.dead_letters(filter, (signed(id.0), signed(after), signed(to), at_most(limit)))
    }

    fn last_dead(&mut self, id: ConsumerId) -> Result<Option<Position>> {
        let last =
            "SELECT position FROM typed_events_dead WHERE consumer = ?1 ORDER BY position DESC LIMIT 1";
        self.one(last, [signed(id.0)], |row| position(row, 0))
    }

    fn dead_of(&mut self, id: ConsumerId, event: EventId) -> Result<Option<Position>> {
        self.one(DEAD_OF, (signed(id.0), event.to_bytes()), |row| position(row, 0))
    }

    fn announced_to(&mut self, id: ConsumerId, session: SessionId) -> Result<Vec<(Position, u64)>> {
        self.all(ANNOUNCED, (signed(id.0), session.to_bytes()), |row| {
            Ok((position(row, 0)?, position(row, 1)?))
        })
    }

    fn unannounced(&mut self, id: ConsumerId, limit: usize) -> Result<Vec<Position>> {
        self.all(UNANNOUNCED, (signed(id.0), at_most(limit)), |row| position(row, 0))
    }

    fn put_announced(
        &mut self,
        id: ConsumerId,
        position: Position,
        _: Announced,
        new: Announced,
    ) -> Result<()> {
        let put = "UPDATE typed_events_dead SET announced = ?3, by_session = ?4, by_number = ?5
            WHERE consumer = ?1 AND position = ?2";
        let (announced, session, number) = columns_of_announced(new);
        self.change(put, (signed(id.0), signed(position), announced, session, number)).map(drop)
    }

    fn delete_some(&mut self, id: ConsumerId, limit: usize) -> Result<bool> {
        let (consumer, mut left) = (signed(id.0), limit);
        for table in ["rows", "copies", "dead"] {
            let delete = format!(
                "DELETE FROM typed_events_{table} WHERE consumer = ?1 AND position IN
                    (SELECT position FROM typed_events_{table} WHERE consumer = ?1 LIMIT ?2)"
            );
            left -= self.change(&delete, (consumer, at_most(left)))?;
            if left == 0 {
                return Ok(true);
            }
        }
        for table in ["profiles", "members", "progress", "kinds"] {
            self.change(&format!("DELETE FROM typed_events_{table} WHERE consumer = ?1"), [consumer])?;
        }
        Ok(false)
    }

    fn forget_notes(&mut self, consumer: &str, from: Position) -> Result<()> {
        if from == 0 {
            return self.change("DELETE FROM typed_events_handled WHERE consumer = ?1", [consumer]).map(drop);
        }
        let forget = "DELETE FROM typed_events_handled WHERE consumer = ?1
            AND id IN (SELECT id FROM typed_events_log WHERE position >= ?2)";
        self.change(forget, (consumer, signed(from))).map(drop)
    }
}

const INSERT_ROW: &str = "INSERT INTO typed_events_rows
    (consumer, position, kind, slot, blocked, key, attempts, due, session, number, suspect, solo, copied, error, first)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const UPDATE_ROW: &str =
    "UPDATE typed_events_rows SET kind = ?3, slot = ?4, blocked = ?5, key = ?6, attempts = ?7,
    due = ?8, session = ?9, number = ?10, suspect = ?11, solo = ?12, copied = ?13, error = ?14, first = ?15
    WHERE consumer = ?1 AND position = ?2";
const DUE: &str = "INDEXED BY typed_events_rows_due WHERE consumer = ?1 AND slot = ?2 AND slot > 0 AND blocked = 0 AND suspect = ?3 AND due <= ?4
    ORDER BY due, position LIMIT ?5";
const DUE_AFTER: &str = "SELECT due FROM typed_events_rows INDEXED BY typed_events_rows_due
    WHERE consumer = ?1 AND slot = ?2 AND slot > 0 AND blocked = 0 AND suspect = ?3 AND due > ?4 ORDER BY due LIMIT 1";
const WAITING: &str = "INDEXED BY typed_events_rows_waiting WHERE consumer = ?1 AND slot = ?2 AND slot > 0 AND position >= ?3 ORDER BY position LIMIT ?4";
const COUNT_WAITING: &str = "SELECT count(*) FROM typed_events_rows INDEXED BY typed_events_rows_waiting WHERE consumer = ?1 AND slot = ?2 AND slot > 0";
const COUNT_IN_HAND: &str = "SELECT count(*) FROM typed_events_rows INDEXED BY typed_events_rows_in_hand WHERE consumer = ?1 AND session = ?2 AND slot = 0";
const IN_HAND: &str = "INDEXED BY typed_events_rows_in_hand WHERE consumer = ?1 AND session = ?2 AND slot = 0 AND position >= ?3
    ORDER BY position LIMIT ?4";
const FIRST_OF_KEY: &str = "SELECT slot, position FROM typed_events_rows INDEXED BY typed_events_rows_key
    WHERE consumer = ?1 AND key = ?2 AND slot >= ?3 ORDER BY slot, position LIMIT 1";
const DEAD_OF: &str =
    "SELECT position FROM typed_events_dead INDEXED BY typed_events_dead_id WHERE consumer = ?1 AND id = ?2";
const ANNOUNCED: &str =
    "SELECT position, by_number FROM typed_events_dead INDEXED BY typed_events_dead_announced
    WHERE consumer = ?1 AND by_session = ?2 AND announced = 1 ORDER BY position";
const UNANNOUNCED: &str = "SELECT position FROM typed_events_dead INDEXED BY typed_events_dead_unannounced WHERE consumer = ?1 AND announced = 0
    ORDER BY position LIMIT ?2";

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan of a query with parameters.
    fn plan(connection: &Connection, query: &str) -> String {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        for parameter in 1..=explain.parameter_count() {
            explain.raw_bind_parameter(parameter, 1).unwrap();
        }
        let (mut lines, mut rows) = (Vec::new(), explain.raw_query());
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get::<_, String>(3).unwrap());
        }
        lines.join("; ")
    }

    #[test]
    fn indexes_answer_the_queries() {
        let connection = Connection::open_in_memory().unwrap();
        crate::schema::create(&connection).unwrap();
        let rows = |filter: &str| format!("SELECT {ROW} FROM typed_events_rows {filter}");
        let by = |table: &str, index: &str, columns: &str| {
            format!("SEARCH typed_events_{table} USING INDEX typed_events_{index} ({columns})")
        };
        let covered = |table: &str, index: &str, columns: &str| {
            format!("SEARCH typed_events_{table} USING COVERING INDEX typed_events_{index} ({columns})")
        };
        for (query, expected) in [
            (rows(DUE), by("rows", "rows_due", "consumer=? AND slot=? AND suspect=? AND due<?")),
            (DUE_AFTER.into(), covered("rows", "rows_due", "consumer=? AND slot=? AND suspect=? AND due>?")),
            (rows(WAITING), by("rows", "rows_waiting", "consumer=? AND slot=? AND position>?")),
            (COUNT_WAITING.into(), covered("rows", "rows_waiting", "consumer=? AND slot=?")),
            (rows(IN_HAND), by("rows", "rows_in_hand", "consumer=? AND session=? AND position>?")),
            (COUNT_IN_HAND.into(), covered("rows", "rows_in_hand", "consumer=? AND session=?")),
            (FIRST_OF_KEY.into(), covered("rows", "rows_key", "consumer=? AND key=? AND slot>?")),
            (DEAD_OF.into(), covered("dead", "dead_id", "consumer=? AND id=?")),
            (ANNOUNCED.into(), by("dead", "dead_announced", "consumer=? AND by_session=?")),
            (UNANNOUNCED.into(), covered("dead", "dead_unannounced", "consumer=?")),
        ] {
            assert_eq!(plan(&connection, &query), expected, "{query}");
        }
    }
}
