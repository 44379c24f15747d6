//! Appending events, and the marks of `first_time`, in transactions of sqlx.

use std::any::Any;

use events_core::{Adapter, AdapterError, BoxFuture, EventId, Record, RecordCodec, Timestamp, Transaction};
use sqlx::sqlite::SqliteConnection;

use crate::Sqlite;
use crate::adapter::Engine;
use crate::log::{INSERT, NEWEST, Stored};

/// Implements [`Transaction`] for types that dereference to an `SqliteConnection`.
macro_rules! transactions {
    ($($(#[$doc:meta])* $transaction:ty;)+) => {
        $(
            $(#[$doc])*
            impl Transaction<Sqlite> for $transaction {
                fn append<'a>(
                    &'a mut self,
                    adapter: &'a dyn Adapter,
                    record: &'a Record,
                    codec: &'a RecordCodec,
                ) -> BoxFuture<'a, Result<(), AdapterError>> {
                    Box::pin(append(self, adapter, record, codec))
                }

                fn first_time<'a>(
                    &'a mut self,
                    adapter: &'a dyn Adapter,
                    consumer: &'a str,
                    event: EventId,
                ) -> BoxFuture<'a, Result<bool, AdapterError>> {
                    Box::pin(first_time(self, adapter, consumer, event))
                }
            }
        )+
    };
}

transactions! {
    sqlx::Transaction<'_, sqlx::Sqlite>;
    /// For a connection on which `BEGIN` was executed.
    SqliteConnection;
}

async fn append(
    connection: &mut SqliteConnection,
    adapter: &dyn Adapter,
    record: &Record,
    codec: &RecordCodec,
) -> Result<(), AdapterError> {
    let engine = log_of(connection, adapter).await?;
    let (last, time) = newest(connection).await?;
    record.stamp_after(time);
    let stored = Stored::of(&codec.draft(record)?, last + 1, true);
    let inserted = sqlx::query(INSERT)
        .bind(stored.position)
        .bind(stored.id.as_slice())
        .bind(&stored.name)
        .bind(stored.version)
        .bind(stored.time)
        .bind(stored.origin.as_slice())
        .bind(stored.outbox)
        .bind(stored.crc())
        .bind(&stored.text)
        .execute(&mut *connection)
        .await
        .map_err(refused)?;
    match inserted.rows_affected() {
        0 => Err(AdapterError::refused(format_args!(
            "the log has an event with the id {} already",
            record.id()
        ))),
        _ => {
            engine.peers.expect_commit();
            Ok(())
        }
    }
}

async fn first_time(
    connection: &mut SqliteConnection,
    adapter: &dyn Adapter,
    consumer: &str,
    event: EventId,
) -> Result<bool, AdapterError> {
    log_of(connection, adapter).await?;
    let note =
        "INSERT INTO typed_events_handled (consumer, id, time) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let noted = sqlx::query(note)
        .bind(consumer)
        .bind(event.to_bytes().as_slice())
        .bind(Timestamp::now().as_micros())
        .execute(&mut *connection)
        .await
        .map_err(refused)?;
    Ok(noted.rows_affected() == 1)
}

/// Returns the engine if its log is in the database of the transaction. Locks the database for writing.
async fn log_of<'a>(
    connection: &mut SqliteConnection,
    adapter: &'a dyn Adapter,
) -> Result<&'a Engine, AdapterError> {
    let any: &dyn Any = adapter;
    let Some(sqlite) = any.downcast_ref::<Sqlite>() else {
        let message = "the transaction is one of SQLite, but the bus keeps its events in";
        return Err(AdapterError::refused(format_args!("{message} {}", adapter.name())));
    };
    let engine = sqlite.engine()?;
    engine.writer.check_files()?;
    // The UPDATE below changes no row but takes the write lock, so the position and time read next are the newest.
    let has_log = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'typed_events_meta')";
    if !sqlx::query_scalar::<_, bool>(has_log).fetch_one(&mut *connection).await.map_err(refused)? {
        return Err(elsewhere(sqlite));
    }
    let lock = "UPDATE typed_events_meta SET log = log WHERE one = 1 AND log = ?1 AND 0 RETURNING one";
    sqlx::query(lock).bind(engine.log.as_slice()).fetch_optional(&mut *connection).await.map_err(refused)?;
    let same = "SELECT EXISTS (SELECT 1 FROM typed_events_meta WHERE log = ?1)";
    let same: bool =
        sqlx::query_scalar(same).bind(engine.log.as_slice()).fetch_one(connection).await.map_err(refused)?;
    match same {
        true => Ok(engine),
        false => Err(elsewhere(sqlite)),
    }
}

async fn newest(connection: &mut SqliteConnection) -> Result<(i64, Timestamp), AdapterError> {
    let newest: Option<(i64, i64)> =
        sqlx::query_as(NEWEST).fetch_optional(connection).await.map_err(refused)?;
    let (position, time) = newest.unwrap_or((0, 0));
    Ok((position, Timestamp::from_micros(time)))
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` calls it")]
fn elsewhere(sqlite: &Sqlite) -> AdapterError {
    let path = sqlite.path().display();
    AdapterError::refused(format_args!("the transaction is in another database than the log at {path}"))
}

fn refused(error: sqlx::Error) -> AdapterError {
    let busy = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| {
        // SQLITE_BUSY and its extended codes.
        code.parse().is_ok_and(|code: i32| code & 0xff == 5)
    });
    match busy {
        true => AdapterError::unavailable(format_args!(
            "{error}: begin the transaction with `pool.begin_with(\"BEGIN IMMEDIATE\")`"
        )),
        false => AdapterError::refused(error),
    }
}
