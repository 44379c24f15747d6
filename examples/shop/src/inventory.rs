//! Reserves stock for an order, or refuses the order.

use sqlx::SqlitePool;
use typed_events::on;

use crate::events::{OrderPlaced, OrderRefused, StockReserved};
use crate::shop::{Failure, Outbox, begin};

/// Decides the orders of a product one after the other. Each order is decided once, even if its event is delivered
/// again: its new status, the stock and the resulting event are written in one transaction. Stock of unpaid orders
/// stays reserved; an event that cancels an order, with a handler, could release it.
#[on(durable = "inventory", ordered_by = "sku")]
pub async fn inventory(placed: &OrderPlaced, db: &SqlitePool, outbox: &Outbox) -> Result<(), Failure> {
    let OrderPlaced { order, user, sku, quantity, .. } = placed.clone();
    let mut tx = begin(db).await?;
    let stock = sqlx::query_scalar("SELECT stock FROM products WHERE sku = ?");
    let in_stock: i64 = stock.bind(&sku).fetch_one(&mut *tx).await?;
    let left = in_stock - i64::from(quantity);
    let status = if left < 0 { "refused" } else { "reserved" };
    let decide = sqlx::query("UPDATE orders SET status = ? WHERE id = ? AND status = 'placed'");
    if decide.bind(status).bind(&order).execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(());
    }
    if left < 0 {
        outbox.emit_in(&mut tx, OrderRefused { order, user, sku, quantity, in_stock }).await?;
    } else {
        let reserve = sqlx::query("UPDATE products SET stock = ? WHERE sku = ?");
        reserve.bind(left).bind(&sku).execute(&mut *tx).await?;
        outbox.emit_in(&mut tx, StockReserved { order, sku, quantity, left }).await?;
    }
    tx.commit().await?;
    Ok(())
}
