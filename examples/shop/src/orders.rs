//! Placing and paying orders. Each event is emitted in the transaction that writes its change.

use axum::http::StatusCode;
use typed_events::EventId;

use crate::events::{OrderPaid, OrderPlaced};
use crate::guard::Refused;
use crate::shop::{Shop, begin};

/// Places an order and returns its id. The handler `inventory` decides whether there is enough in stock.
pub async fn place(shop: &Shop, user: &str, sku: &str, quantity: u32) -> Result<String, Refused> {
    let mut tx = begin(&shop.db).await?;
    let price = sqlx::query_scalar::<_, i64>("SELECT price_cents FROM products WHERE sku = ?");
    let Some(price_cents) = price.bind(sku).fetch_optional(&mut *tx).await? else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "there is no such product"));
    };
    if quantity == 0 {
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "order at least one"));
    }
    let (order, total_cents) = (EventId::new().to_string(), price_cents * i64::from(quantity));
    sqlx::query(
        "INSERT INTO orders (id, user, sku, quantity, total_cents, status) VALUES (?, ?, ?, ?, ?, 'placed')",
    )
    .bind(&order)
    .bind(user)
    .bind(sku)
    .bind(quantity)
    .bind(total_cents)
    .execute(&mut *tx)
    .await?;
    let (user, sku) = (user.to_owned(), sku.to_owned());
    let placed = OrderPlaced { order: order.clone(), user, sku, quantity, total_cents };
    shop.outbox.emit_in(&mut tx, placed).await?;
    tx.commit().await?;
    Ok(order)
}

/// Pays an order of the user. Its stock must be reserved.
pub async fn pay(shop: &Shop, user: &str, order: &str) -> Result<(), Refused> {
    let mut tx = begin(&shop.db).await?;
    let found = sqlx::query_as::<_, (String, u32, i64, String)>(
        "SELECT sku, quantity, total_cents, status FROM orders WHERE id = ? AND user = ?",
    );
    let found = found.bind(order).bind(user).fetch_optional(&mut *tx).await?;
    let Some((sku, quantity, total_cents, status)) = found else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "you have no such order"));
    };
    if status != "reserved" {
        let why = format!("this order can't be paid: it is {status}");
        return Err(Refused::new(StatusCode::CONFLICT, why));
    }
    sqlx::query("UPDATE orders SET status = 'paid' WHERE id = ?").bind(order).execute(&mut *tx).await?;
    let (order, user) = (order.to_owned(), user.to_owned());
    shop.outbox.emit_in(&mut tx, OrderPaid { order, user, sku, quantity, total_cents }).await?;
    tx.commit().await?;
    Ok(())
}
