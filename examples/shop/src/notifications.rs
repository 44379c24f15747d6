//! Notifies users about their orders, in the order of the events.

use sqlx::SqlitePool;
use typed_events::{Delivery, on};

use crate::events::{NotificationCreated, OrderEvent, OrderPaid, OrderPlaced, OrderRefused};
use crate::shop::{Failure, Outbox, begin};

#[on("order.*", durable = "notify", ordered_by = "user")]
pub async fn notify(
    event: OrderEvent<'_>,
    delivery: &Delivery,
    db: &SqlitePool,
    outbox: &Outbox,
) -> Result<(), Failure> {
    let (OrderEvent::Placed(OrderPlaced { order, user, sku, quantity, .. })
    | OrderEvent::Refused(OrderRefused { order, user, sku, quantity, .. })
    | OrderEvent::Paid(OrderPaid { order, user, sku, quantity, .. })) = &event;
    let product: String =
        sqlx::query_scalar("SELECT name FROM products WHERE sku = ?").bind(sku).fetch_one(db).await?;
    let message = match &event {
        OrderEvent::Placed(_) => format!("Your order of {quantity} × {product} is placed."),
        OrderEvent::Refused(OrderRefused { in_stock, .. }) => {
            format!("Your order of {quantity} × {product} is refused: {in_stock} in stock.")
        }
        OrderEvent::Paid(_) => format!("Your payment for {quantity} × {product} arrived."),
    };
    let record = delivery.record();
    let mut tx = begin(db).await?;
    let insert = sqlx::query(
        "INSERT INTO notifications (event, user, message) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    let insert = insert.bind(record.id().to_string()).bind(user).bind(&message);
    if insert.execute(&mut *tx).await?.rows_affected() == 1 {
        let (user, order, event) = (user.clone(), order.clone(), record.name().to_owned());
        outbox.emit_in(&mut tx, NotificationCreated { user, order, event, message }).await?;
        tx.commit().await?;
    }
    Ok(())
}
