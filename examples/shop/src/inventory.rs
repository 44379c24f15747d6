//! Reserves stock for orders, or refuses them.

use sqlx::SqlitePool;
use typed_events::on;

use crate::events::{OrderPlaced, OrderRefused, StockReserved};
use crate::shop::{Failure, Outbox, begin};

/// Decides orders of a product one after the other, and each order once, however often it is delivered: the status of
/// the order commits with the stock, and with the event that says so. What nobody pays stays reserved: an event that
/// cancels an order, and a handler of it, would release that.
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
