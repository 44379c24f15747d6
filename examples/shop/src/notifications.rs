//! Tells users what became of their orders.

use sqlx::SqlitePool;
use typed_events::{Delivery, on};

use crate::events::{NotificationCreated, OrderEvent};
use crate::shop::{Failure, Outbox, begin};

#[on("order.*", durable = "notify")]
pub async fn notify(
    order: OrderEvent<'_>,
    delivery: &Delivery,
    db: &SqlitePool,
    outbox: &Outbox,
) -> Result<(), Failure> {
    let (user, sku, quantity, begin_with, end_with) = match order {
        OrderEvent::Placed(order) => (&order.user, &order.sku, order.quantity, "Your order of", "is placed"),
        OrderEvent::Paid(order) => (&order.user, &order.sku, order.quantity, "Your payment for", "arrived"),
    };
    let product: String =
        sqlx::query_scalar("SELECT name FROM products WHERE sku = ?").bind(sku).fetch_one(db).await?;
    let message = format!("{begin_with} {quantity} × {product} {end_with}.");
    let mut tx = begin(db).await?;
    let insert = sqlx::query(
        "INSERT INTO notifications (event, user, message) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    let insert = insert.bind(delivery.record().id().to_string()).bind(user).bind(&message);
    if insert.execute(&mut *tx).await?.rows_affected() == 1 {
        outbox.emit_in(&mut tx, NotificationCreated { user: user.clone(), message }).await?;
        tx.commit().await?;
    }
    Ok(())
}
