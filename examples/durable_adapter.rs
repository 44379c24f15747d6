//! A durable adapter of one's own, in memory: `cargo run --example durable_adapter --features durable`.
//!
//! It is written against the facade alone and passes the conformance suite:
//! `cargo test --example durable_adapter --features conformance`. Its log is a vector; the state of consumers is in the
//! kit's [`Tables`], and the kit's store applies each call to both. An adapter on a database implements `store::Rows`
//! instead.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use typed_events::adapter::durable::{Answer, Caller, Changes, DurableError, Kind, Position, ReadRecord};
use typed_events::adapter::store::{
    LIMITS, Store, StoreCall, StoreEngine, StoredRecord, Tables, TablesLog, Views,
};
use typed_events::adapter::{
    Adapter, AdapterError, BoxFuture, DurableAdapter, HistoryQuery, LogId, LogPage, LogQuery, Published,
    Receiver, RecordCodec,
};
use typed_events::{Bus, EventId, Record, Timestamp, event, on};

/// An adapter on a shared log. Clones share the log.
#[derive(Clone)]
pub struct Shelf(Arc<Shared>);

struct Shared {
    books: Mutex<Books>,
    views: Views,
    changes: watch::Sender<Changes>,
}

/// The log and the state of its consumers.
#[derive(Default)]
pub struct Books {
    /// The record at position 1 comes first.
    log: Vec<(StoredRecord, Timestamp)>,
    positions: HashMap<EventId, Position>,
    tables: Tables,
}

impl Shelf {
    fn new() -> Self {
        let (books, views) = (Mutex::default(), Views::default());
        Self(Arc::new(Shared { books, views, changes: watch::Sender::default() }))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decode(codec: &RecordCodec, stored: &StoredRecord) -> Result<Record, AdapterError> {
    let text = std::str::from_utf8(&stored.bytes).map_err(AdapterError::refused)?;
    codec.decode(text).map_err(AdapterError::from)
}

impl Adapter for Shelf {
    fn name(&self) -> String {
        "shelf".to_owned()
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn publish<'a>(
        &'a self,
        records: &'a [Record],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Published, AdapterError>> {
        Box::pin(async move {
            let (mut books, mut published) = (self.books(), Published::default());
            let (before, mut newest) =
                (books.log.len(), books.log.last().map_or_else(Timestamp::default, |last| last.1));
            for (index, record) in records.iter().enumerate() {
                // Under the lock, so that times never decrease along the log. The id is made of the time.
                newest = newest.max(record.stamp_after(newest));
                if let Some(position) = books.positions.get(&record.id()) {
                    let stored = books.log.get(*position as usize - 1);
                    let stored = stored.and_then(|(stored, _)| decode(codec, stored).ok());
                    published = published.with_duplicate(index, stored);
                    continue;
                }
                let Ok(text) = codec.encode(record) else {
                    // All records of the call are stored, or none.
                    books.log.truncate(before);
                    books.positions.retain(|_, position| *position <= before as u64);
                    return Err(AdapterError::refused(format_args!("{} can't be encoded", record.name())));
                };
                let kind = Kind { name: record.name().to_owned(), version: record.version() };
                let stored =
                    StoredRecord { event: record.id(), kind, bytes: text.into_bytes(), damaged: false };
                books.log.push((stored, newest));
                let position = books.log.len() as u64;
                books.positions.insert(record.id(), position);
            }
            drop(books);
            self.0.changes.send_modify(|changes| changes.log += 1);
            Ok(published)
        })
    }

    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<Result<Record, AdapterError>>, AdapterError>> {
        Box::pin(async move {
            let books = self.books();
            let asked = books.log.iter().filter(|(stored, _)| query.takes(&stored.kind.name));
            Ok(query.select(asked.map(|(stored, _)| decode(codec, stored))))
        })
    }

    fn read_log<'a>(
        &'a self,
        query: &'a LogQuery,
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<LogPage, AdapterError>> {
        Box::pin(async move {
            let books = self.books();
            let mut page = query.page(LogId::new(*b"shelf-of-example"), 1, books.log.len() as u64);
            for position in page.wanted() {
                let (stored, _) = &books.log[position as usize - 1];
                let is_taken = query.takes(&stored.kind.name);
                if is_taken && !page.push(position, stored.bytes.len(), decode(codec, stored)) {
                    break;
                }
            }
            Ok(page)
        })
    }

    fn subscribe(&self, _: Receiver) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) }) // it does not pass events to the live handlers of other instances
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        Box::pin(async { Ok(()) })
    }

    fn durable(&self) -> Option<&dyn DurableAdapter> {
        Some(self)
    }
}

impl StoreEngine for Shelf {
    type Rows = Books;

    fn run<T: Send + 'static>(&self, caller: Caller, call: StoreCall<Books, T>) -> Answer<'_, T> {
        Box::pin(async move {
            let mut books = self.books();
            let mut store = Store::begin(&mut *books, &self.0.views, &LIMITS, &caller, Timestamp::now())?;
            let answer = call(&mut store)?;
            if store.end()?.released {
                self.0.changes.send_modify(|changes| changes.consumers += 1);
            }
            Ok(answer)
        })
    }

    fn wait_for_changes(&self, since: Changes) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut changes = self.0.changes.subscribe();
            // Can't fail: `self` owns the sender.
            let _ = changes.wait_for(|changes| *changes != since).await;
        })
    }

    fn changed(&self) -> Changes {
        *self.0.changes.borrow()
    }

    fn read_records<'a>(
        &'a self,
        positions: &'a [Position],
        codec: &'a RecordCodec,
    ) -> BoxFuture<'a, Result<Vec<ReadRecord>, AdapterError>> {
        Box::pin(async move {
            let books = self.books();
            let found = positions.iter().filter_map(|position| Some((*position, books.at(*position)?)));
            Ok(found.map(|(position, stored)| (position, decode(codec, stored))).collect())
        })
    }
}

impl Books {
    fn at(&self, position: Position) -> Option<&StoredRecord> {
        Some(&self.log.get(position.checked_sub(1)? as usize)?.0)
    }
}

impl TablesLog for Books {
    fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    fn newest(&mut self) -> Result<Position, DurableError> {
        Ok(self.log.len() as u64)
    }

    fn begins(&mut self) -> Result<Position, DurableError> {
        Ok(1)
    }

    fn event_at(&mut self, position: Position) -> Result<Option<EventId>, DurableError> {
        Ok(self.at(position).map(|stored| stored.event))
    }

    fn record_at(&mut self, position: Position) -> Result<Option<StoredRecord>, DurableError> {
        Ok(self.at(position).cloned())
    }

    fn find(&mut self, event: EventId) -> Result<Option<(Position, String)>, DurableError> {
        let position = self.positions.get(&event).copied();
        Ok(position.and_then(|position| Some((position, self.at(position)?.kind.name.clone()))))
    }

    fn position_at(&mut self, time: Timestamp) -> Result<Position, DurableError> {
        Ok(self.log.partition_point(|(_, at)| *at < time) as u64 + 1)
    }

    fn names_between(&mut self, from: Position, to: Position) -> Result<Vec<(String, u64)>, DurableError> {
        let mut names = BTreeMap::<String, u64>::new();
        let between = (from..=to).filter_map(|position| self.at(position));
        between.for_each(|stored| *names.entry(stored.kind.name.clone()).or_default() += 1);
        Ok(names.into_iter().collect())
    }

    fn trim_log(&mut self, _: Position) -> Result<(), DurableError> {
        Ok(()) // nothing is trimmed
    }
}

#[event("book.lent")]
pub struct BookLent {
    pub title: String,
}

#[on(durable = "remind", from = "start")]
fn remind(book: &BookLent) {
    println!("remind the reader of {}", book.title);
}

#[tokio::main]
async fn main() -> Result<(), typed_events::Error> {
    let shelf = Shelf::new();
    let desk = Bus::builder().adapter(shelf.clone()).no_handlers().build().await?;
    desk.emit(BookLent { title: "Middlemarch".to_owned() }).await?;
    desk.stop().await?;
    // A bus that starts later handles what its consumer has not finished.
    let office = Bus::builder().adapter(shelf).handler::<remind>().build().await?;
    let emitted = office.emit(BookLent { title: "Emma".to_owned() }).await?;
    emitted.settled().await?;
    println!("{}", office.consumers().await?[0]);
    office.stop().await
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use typed_events::conformance::{Ability, CaseOutcome, Harness, Scale, run};

    use super::Shelf;

    struct Shelves;

    impl Harness for Shelves {
        type Adapter = Shelf;
        type Store = Shelf;

        fn abilities(&self) -> Vec<Ability> {
            vec![Ability::History, Ability::Deduplication, Ability::Durable]
        }

        async fn fresh(&self) -> Result<Shelf, String> {
            Ok(Shelf::new())
        }

        fn adapter(&self, shelf: &Shelf) -> Shelf {
            shelf.clone()
        }

        fn scale(&self) -> Scale {
            Scale::small()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_shelf_conforms() {
        let report = run(Shelves).await;
        println!("{report}");
        report.assert_ok();
        for case in report.cases() {
            let CaseOutcome::Skipped(missing) = &case.outcome else { continue };
            let tried = [Ability::History, Ability::Deduplication, Ability::Durable];
            assert!(missing.iter().any(|ability| !tried.contains(ability)), "{} is skipped", case.name);
        }
    }
}
