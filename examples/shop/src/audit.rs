//! Writes a row of the audit table for each event.

use sqlx::SqlitePool;
use typed_events::{Record, on};

use crate::shop::Failure;

#[on("*", durable = "audit")]
pub async fn audit(record: &Record, db: &SqlitePool) -> Result<(), Failure> {
    sqlx::query("INSERT INTO audit (id, at, event, data) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(record.id().to_string())
        .bind(record.timestamp().to_string())
        .bind(record.name())
        .bind(record.json()?)
        .execute(db)
        .await?;
    Ok(())
}
