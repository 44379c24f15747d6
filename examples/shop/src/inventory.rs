//! Takes what was paid for out of stock.

use sqlx::SqlitePool;
use typed_events::on;

use crate::events::{OrderPaid, StockReduced};
use crate::shop::{Failure, Outbox, begin};

/// Once for each order, however often it is delivered: the note of it commits with the stock.
#[on(durable = "inventory", ordered_by = "sku")]
pub async fn inventory(paid: &OrderPaid, db: &SqlitePool, outbox: &Outbox) -> Result<(), Failure> {
    let mut tx = begin(db).await?;
    let note = sqlx::query("INSERT INTO reductions (order_id) VALUES (?) ON CONFLICT DO NOTHING");
    if note.bind(&paid.order).execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(());
    }
    let left: i64 = sqlx::query_scalar("UPDATE products SET stock = stock - ? WHERE sku = ? RETURNING stock")
        .bind(paid.quantity)
        .bind(&paid.sku)
        .fetch_one(&mut *tx)
        .await?;
    let OrderPaid { order, sku, quantity, .. } = paid.clone();
    outbox.emit_in(&mut tx, StockReduced { order, sku, quantity, left }).await?;
    tx.commit().await?;
    Ok(())
}
