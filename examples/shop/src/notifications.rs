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
    let (user, message) = match order {
        OrderEvent::Placed(order) => {
            (&order.user, format!("Your order of {} × {} is placed.", order.quantity, order.sku))
        }
        OrderEvent::Paid(order) => {
            (&order.user, format!("Your payment for {} × {} arrived.", order.quantity, order.sku))
        }
    };
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
