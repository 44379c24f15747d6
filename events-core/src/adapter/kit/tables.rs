//! The stored state of durable consumers in memory, with its indexes, for engines that have no storage for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapter::durable::{ConsumerId, DurableError, Position, SessionId};
use crate::adapter::kit::store::{
    Announced, Dead, Header, KindId, KnownKind, Member, Meta, Micros, Named, Profile, Progress, Row, Rows,
    Session, StoredRecord,
};
use crate::id::EventId;
use crate::time::Timestamp;

type Result<T> = std::result::Result<T, DurableError>;

/// The stored state of durable consumers.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    meta: Meta,
    sessions: BTreeMap<SessionId, Session>,
    names: BTreeMap<String, Named>,
    consumers: BTreeMap<ConsumerId, Table>,
}

/// The stored state of a consumer.
#[derive(Clone, Debug, Default)]
struct Table {
    header: Header,
    profile: Profile,
    /// Members, and whether their sessions have not ended.
    members: BTreeMap<SessionId, (Member, bool)>,
    progress: BTreeMap<SessionId, Progress>,
    kinds: BTreeMap<KindId, KnownKind>,
    rows: BTreeMap<Position, Row>,
    copies: BTreeMap<Position, StoredRecord>,
    /// Waiting rows that are not blocked, by kind, whether they are suspects, and due time.
    due: BTreeSet<(KindId, bool, Micros, Position)>,
    waiting: BTreeSet<(KindId, Position)>,
    in_hand: BTreeSet<(SessionId, Position)>,
    /// Rows by their keys and slots.
    keys: BTreeMap<String, BTreeSet<(u32, Position)>>,
    dead: BTreeMap<Position, Dead>,
    dead_ids: BTreeMap<EventId, Position>,
    unannounced: BTreeSet<Position>,
    announced: BTreeSet<(SessionId, Position, u64)>,
}

impl Table {
    fn add(&mut self, row: &Row) {
        match (row.in_hand, row.token) {
            (true, Some(token)) => drop(self.in_hand.insert((token.session, row.position))),
            _ => {
                self.waiting.insert((row.kind, row.position));
                if !row.blocked {
                    self.due.insert((row.kind, row.suspect, row.due, row.position));
                }
            }
        }
        if let Some(key) = &row.key {
            self.keys.entry(key.clone()).or_default().insert((row.slot(), row.position));
        }
    }

    fn remove(&mut self, row: &Row) {
        if let Some(token) = row.token.filter(|_| row.in_hand) {
            self.in_hand.remove(&(token.session, row.position));
        }
        self.waiting.remove(&(row.kind, row.position));
        self.due.remove(&(row.kind, row.suspect, row.due, row.position));
        if let Some(key) = &row.key
            && let Some(of_key) = self.keys.get_mut(key)
        {
            of_key.remove(&(row.slot(), row.position));
            if of_key.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    fn announce(&mut self, position: Position, announced: Announced) {
        match announced {
            Announced::No => drop(self.unannounced.insert(position)),
            Announced::By(token) => drop(self.announced.insert((token.session, position, token.number))),
            Announced::Yes => {}
        }
    }

    fn unannounce(&mut self, position: Position, announced: Announced) {
        self.unannounced.remove(&position);
        if let Announced::By(token) = announced {
            self.announced.remove(&(token.session, position, token.number));
        }
    }

    fn first_uncopied(&self) -> Option<Position> {
        self.rows.values().find(|row| !row.copied).map(|row| row.position)
    }
}

impl Tables {
    fn of(&self, id: ConsumerId) -> Option<&Table> {
        self.consumers.get(&id)
    }

    fn of_mut(&mut self, id: ConsumerId) -> &mut Table {
        self.consumers.entry(id).or_default()
    }

    /// The first position that a consumer needs, and that consumer.
    #[cfg(feature = "in-memory")]
    pub(crate) fn held_up_from(&self) -> Option<(Position, ConsumerId)> {
        let consumers = self.consumers.iter().filter(|(_, table)| !table.header.removed);
        let needed = consumers.map(|(id, table)| {
            let next = table.header.position + 1;
            (table.first_uncopied().map_or(next, |row| row.min(next)), *id)
        });
        needed.min()
    }

    #[cfg(feature = "in-memory")]
    pub(crate) fn name_of(&self, id: ConsumerId) -> &str {
        self.of(id).map_or("", |table| &table.profile.name)
    }
}

/// A log beside which the state of consumers is kept in memory. It needs no other storage: [`Rows`] is implemented for it.
#[allow(missing_docs, reason = "as in `Rows`")]
pub trait TablesLog {
    /// The state of consumers.
    fn tables(&mut self) -> &mut Tables;
    /// The newest position that the log has given out.
    fn newest(&mut self) -> Result<Position>;
    /// The first position that was not trimmed.
    fn begins(&mut self) -> Result<Position>;
    /// The event at a position.
    fn event_at(&mut self, position: Position) -> Result<Option<EventId>>;
    /// The record at a position. A damaged one is not an error.
    fn record_at(&mut self, position: Position) -> Result<Option<StoredRecord>>;
    /// The position and the name of an event.
    fn find(&mut self, event: EventId) -> Result<Option<(Position, String)>>;
    /// The first position whose record has this time or a later one; the position after the newest if none has.
    fn position_at(&mut self, time: Timestamp) -> Result<Position>;
    /// The names of the events from `from` to `to`, and how many there are of each.
    fn names_between(&mut self, from: Position, to: Position) -> Result<Vec<(String, u64)>>;
    /// Deletes the records up to `to`.
    fn trim_log(&mut self, to: Position) -> Result<()>;
}

impl<L: TablesLog> Rows for L {
    type Error = DurableError;

    fn meta(&mut self) -> Result<Meta> {
        Ok(self.tables().meta.clone())
    }

    fn put_meta(&mut self, meta: &Meta) -> Result<()> {
        self.tables().meta = meta.clone();
        Ok(())
    }

    fn newest(&mut self) -> Result<Position> {
        TablesLog::newest(self)
    }

    fn begins(&mut self) -> Result<Position> {
        TablesLog::begins(self)
    }

    fn event_at(&mut self, position: Position) -> Result<Option<EventId>> {
        TablesLog::event_at(self, position)
    }

    fn record_at(&mut self, position: Position) -> Result<Option<StoredRecord>> {
        TablesLog::record_at(self, position)
    }

    fn find(&mut self, event: EventId) -> Result<Option<(Position, String)>> {
        TablesLog::find(self, event)
    }

    fn position_at(&mut self, time: Timestamp) -> Result<Position> {
        TablesLog::position_at(self, time)
    }

    fn names_between(&mut self, from: Position, to: Position) -> Result<Vec<(String, u64)>> {
        TablesLog::names_between(self, from, to)
    }

    fn trim_log(&mut self, to: Position) -> Result<()> {
        TablesLog::trim_log(self, to)
    }

    fn session(&mut self, id: SessionId) -> Result<Option<Session>> {
        Ok(self.tables().sessions.get(&id).cloned())
    }

    fn put_session(&mut self, id: SessionId, session: &Session) -> Result<()> {
        self.tables().sessions.insert(id, session.clone());
        Ok(())
    }

    fn delete_session(&mut self, id: SessionId) -> Result<()> {
        self.tables().sessions.remove(&id);
        for table in self.tables().consumers.values_mut() {
            table.members.remove(&id);
            table.progress.remove(&id);
        }
        Ok(())
    }

    fn sessions(&mut self, ended: bool) -> Result<Vec<(SessionId, Session)>> {
        let sessions = self.tables().sessions.iter().filter(|(_, session)| session.ended.is_some() == ended);
        Ok(sessions.map(|(id, session)| (*id, session.clone())).collect())
    }

    fn name(&mut self, name: &str) -> Result<Option<Named>> {
        Ok(self.tables().names.get(name).copied())
    }

    fn put_name(&mut self, name: &str, named: Named) -> Result<()> {
        self.tables().names.insert(name.to_owned(), named);
        Ok(())
    }

    fn consumers(&mut self) -> Result<Vec<ConsumerId>> {
        let consumers = self.tables().consumers.iter().filter(|(_, table)| !table.header.removed);
        Ok(consumers.map(|(id, _)| *id).collect())
    }

    fn header(&mut self, id: ConsumerId) -> Result<Option<Header>> {
        Ok(self.tables().of(id).map(|table| table.header.clone()))
    }

    fn put_header(&mut self, id: ConsumerId, header: &Header) -> Result<()> {
        self.tables().of_mut(id).header = header.clone();
        Ok(())
    }

    fn profile(&mut self, id: ConsumerId) -> Result<Profile> {
        Ok(self.tables().of(id).map(|table| table.profile.clone()).unwrap_or_default())
    }

    fn put_profile(&mut self, id: ConsumerId, profile: &Profile) -> Result<()> {
        self.tables().of_mut(id).profile = profile.clone();
        Ok(())
    }

    fn member(&mut self, id: ConsumerId, session: SessionId) -> Result<Option<Member>> {
        let member = self.tables().of(id).and_then(|table| table.members.get(&session));
        Ok(member.map(|(member, _)| member.clone()))
    }

    fn put_member(&mut self, id: ConsumerId, session: SessionId, member: &Member, live: bool) -> Result<()> {
        self.tables().of_mut(id).members.insert(session, (member.clone(), live));
        Ok(())
    }

    fn live_members(&mut self, id: ConsumerId) -> Result<BTreeMap<SessionId, Member>> {
        let members = self.tables().of(id).into_iter().flat_map(|table| &table.members);
        let live = members.filter(|(_, (_, live))| *live);
        Ok(live.map(|(session, (member, _))| (*session, member.clone())).collect())
    }

    fn consumers_of(&mut self, session: SessionId) -> Result<Vec<ConsumerId>> {
        let consumers = self.tables().consumers.iter();
        Ok(consumers.filter(|(_, table)| table.members.contains_key(&session)).map(|(id, _)| *id).collect())
    }

    fn progress(&mut self, id: ConsumerId, session: SessionId) -> Result<Option<Progress>> {
        Ok(self.tables().of(id).and_then(|table| table.progress.get(&session)).cloned())
    }

    fn put_progress(&mut self, id: ConsumerId, session: SessionId, progress: &Progress) -> Result<()> {
        self.tables().of_mut(id).progress.insert(session, progress.clone());
        Ok(())
    }

    fn kinds(&mut self, id: ConsumerId) -> Result<Vec<KnownKind>> {
        Ok(self.tables().of(id).map(|table| table.kinds.values().cloned().collect()).unwrap_or_default())
    }

    fn put_kind(&mut self, id: ConsumerId, kind: &KnownKind) -> Result<()> {
        self.tables().of_mut(id).kinds.insert(kind.id, kind.clone());
        Ok(())
    }

    fn row(&mut self, id: ConsumerId, position: Position) -> Result<Option<Row>> {
        Ok(self.tables().of(id).and_then(|table| table.rows.get(&position)).cloned())
    }

    fn put_row(&mut self, id: ConsumerId, old: Option<&Row>, row: &Row) -> Result<()> {
        let table = self.tables().of_mut(id);
        if let Some(old) = old {
            table.remove(old);
        }
        table.add(row);
        table.rows.insert(row.position, row.clone());
        Ok(())
    }

    fn delete_row(&mut self, id: ConsumerId, old: &Row) -> Result<()> {
        let table = self.tables().of_mut(id);
        table.remove(old);
        table.rows.remove(&old.position);
        Ok(())
    }

    fn copy(&mut self, id: ConsumerId, position: Position) -> Result<Option<StoredRecord>> {
        Ok(self.tables().of(id).and_then(|table| table.copies.get(&position)).cloned())
    }

    fn put_copy(&mut self, id: ConsumerId, position: Position, record: &StoredRecord) -> Result<()> {
        self.tables().of_mut(id).copies.insert(position, record.clone());
        Ok(())
    }

    fn delete_copy(&mut self, id: ConsumerId, position: Position) -> Result<()> {
        self.tables().of_mut(id).copies.remove(&position);
        Ok(())
    }

    fn rows_between(
        &mut self,
        id: ConsumerId,
        from: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<Row>> {
        if from > to {
            return Ok(Vec::new());
        }
        let rows = self.tables().of(id).into_iter().flat_map(|table| table.rows.range(from..=to));
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn last_row(&mut self, id: ConsumerId) -> Result<Option<Position>> {
        Ok(self.tables().of(id).and_then(|table| table.rows.keys().next_back()).copied())
    }

    fn first_uncopied(&mut self, id: ConsumerId) -> Result<Option<Position>> {
        Ok(self.tables().of(id).and_then(Table::first_uncopied))
    }

    fn due(
        &mut self,
        id: ConsumerId,
        kind: KindId,
        suspect: bool,
        at: Micros,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let Some(table) = self.tables().of(id) else { return Ok(Vec::new()) };
        let due = table.due.range((kind, suspect, Micros::MIN, 0)..=(kind, suspect, at, Position::MAX));
        Ok(due.take(limit).filter_map(|(_, _, _, position)| table.rows.get(position)).cloned().collect())
    }

    fn due_after(
        &mut self,
        id: ConsumerId,
        kind: KindId,
        suspect: bool,
        after: Micros,
    ) -> Result<Option<Micros>> {
        let Some(table) = self.tables().of(id) else { return Ok(None) };
        let from = (kind, suspect, after.saturating_add(1), 0);
        let mut later = table.due.range(from..=(kind, suspect, Micros::MAX, Position::MAX));
        Ok(later.next().map(|(_, _, due, _)| *due))
    }

    fn waiting(&mut self, id: ConsumerId, kind: KindId, from: Position, limit: usize) -> Result<Vec<Row>> {
        let Some(table) = self.tables().of(id) else { return Ok(Vec::new()) };
        let waiting = table.waiting.range((kind, from)..=(kind, Position::MAX)).take(limit);
        Ok(waiting.filter_map(|(_, position)| table.rows.get(position)).cloned().collect())
    }

    fn count_waiting(&mut self, id: ConsumerId, kind: KindId) -> Result<u64> {
        let waiting = |table: &Table| table.waiting.range((kind, 0)..=(kind, Position::MAX)).count() as u64;
        Ok(self.tables().of(id).map_or(0, waiting))
    }

    fn in_hand(
        &mut self,
        id: ConsumerId,
        session: SessionId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let Some(table) = self.tables().of(id) else { return Ok(Vec::new()) };
        let in_hand = table.in_hand.range((session, from)..=(session, Position::MAX)).take(limit);
        Ok(in_hand.filter_map(|(_, position)| table.rows.get(position)).cloned().collect())
    }

    fn count_in_hand(&mut self, id: ConsumerId, session: SessionId) -> Result<usize> {
        let in_hand = |table: &Table| table.in_hand.range((session, 0)..=(session, Position::MAX)).count();
        Ok(self.tables().of(id).map_or(0, in_hand))
    }

    fn first_of_key(&mut self, id: ConsumerId, key: &str, slot: u32) -> Result<Option<(u32, Position)>> {
        let of_key = self.tables().of(id).and_then(|table| table.keys.get(key));
        Ok(of_key.and_then(|of_key| of_key.range((slot, 0)..).next()).copied())
    }

    fn dead(&mut self, id: ConsumerId, position: Position) -> Result<Option<Dead>> {
        Ok(self.tables().of(id).and_then(|table| table.dead.get(&position)).cloned())
    }

    fn put_dead(&mut self, id: ConsumerId, old: Option<&Dead>, dead: &Dead) -> Result<()> {
        let table = self.tables().of_mut(id);
        if let Some(old) = old {
            table.unannounce(old.position, old.announced);
        }
        table.announce(dead.position, dead.announced);
        table.dead_ids.insert(dead.record.event, dead.position);
        table.dead.insert(dead.position, dead.clone());
        Ok(())
    }

    fn delete_dead(&mut self, id: ConsumerId, old: &Dead) -> Result<()> {
        let table = self.tables().of_mut(id);
        table.unannounce(old.position, old.announced);
        table.dead_ids.remove(&old.record.event);
        table.dead.remove(&old.position);
        Ok(())
    }

    fn dead_between(
        &mut self,
        id: ConsumerId,
        after: Position,
        to: Position,
        limit: usize,
    ) -> Result<Vec<Dead>> {
        let after = after.saturating_add(1);
        if after > to {
            return Ok(Vec::new());
        }
        let dead = self.tables().of(id).into_iter().flat_map(|table| table.dead.range(after..=to));
        Ok(dead.take(limit).map(|(_, dead)| dead.clone()).collect())
    }

    fn last_dead(&mut self, id: ConsumerId) -> Result<Option<Position>> {
        Ok(self.tables().of(id).and_then(|table| table.dead.keys().next_back()).copied())
    }

    fn dead_of(&mut self, id: ConsumerId, event: EventId) -> Result<Option<Position>> {
        Ok(self.tables().of(id).and_then(|table| table.dead_ids.get(&event)).copied())
    }

    fn announced_to(&mut self, id: ConsumerId, session: SessionId) -> Result<Vec<(Position, u64)>> {
        let Some(table) = self.tables().of(id) else { return Ok(Vec::new()) };
        let announced = table.announced.range((session, 0, 0)..=(session, Position::MAX, u64::MAX));
        Ok(announced.map(|(_, position, number)| (*position, *number)).collect())
    }

    fn unannounced(&mut self, id: ConsumerId, limit: usize) -> Result<Vec<Position>> {
        let table = self.tables().of(id).into_iter();
        Ok(table.flat_map(|table| &table.unannounced).take(limit).copied().collect())
    }

    fn put_announced(
        &mut self,
        id: ConsumerId,
        position: Position,
        old: Announced,
        announced: Announced,
    ) -> Result<()> {
        let table = self.tables().of_mut(id);
        table.unannounce(position, old);
        table.announce(position, announced);
        if let Some(dead) = table.dead.get_mut(&position) {
            dead.announced = announced;
        }
        Ok(())
    }

    fn delete_some(&mut self, id: ConsumerId, limit: usize) -> Result<bool> {
        let table = self.tables().of_mut(id);
        let rows: Vec<Row> = table.rows.values().take(limit).cloned().collect();
        for row in &rows {
            table.remove(row);
            table.rows.remove(&row.position);
            table.copies.remove(&row.position);
        }
        (0..limit - rows.len()).for_each(|_| drop(table.dead.pop_first()));
        if !table.rows.is_empty() || !table.dead.is_empty() {
            return Ok(true);
        }
        *table = Table { header: table.header.clone(), ..Table::default() };
        Ok(false)
    }

    fn forget_notes(&mut self, _: &str, _: Position) -> Result<()> {
        Ok(())
    }
}
