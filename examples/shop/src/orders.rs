//! Orders: each event is part of the transaction that makes it true.

use axum::http::StatusCode;
use typed_events::EventId;

use crate::events::{OrderPaid, OrderPlaced};
use crate::shop::{Refused, Shop, begin};

/// Places an order; returns its id.
pub async fn place(shop: &Shop, user: &str, sku: &str, quantity: u32) -> Result<String, Refused> {
    let mut tx = begin(&shop.db).await?;
    let product = sqlx::query_as::<_, (i64, i64)>("SELECT price_cents, stock FROM products WHERE sku = ?");
    let Some((price_cents, stock)) = product.bind(sku).fetch_optional(&mut *tx).await? else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "there is no such product"));
    };
    if quantity == 0 {
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "order at least one"));
    }
    if i64::from(quantity) > stock {
        return Err(Refused::new(StatusCode::CONFLICT, format!("there are only {stock} in stock")));
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

/// Pays an order of the user.
pub async fn pay(shop: &Shop, user: &str, order: &str) -> Result<(), Refused> {
    let mut tx = begin(&shop.db).await?;
    let paid = sqlx::query_as::<_, (String, u32, i64)>(
        "UPDATE orders SET status = 'paid' WHERE id = ? AND user = ? AND status = 'placed'
         RETURNING sku, quantity, total_cents",
    );
    let Some((sku, quantity, total_cents)) = paid.bind(order).bind(user).fetch_optional(&mut *tx).await?
    else {
        return Err(Refused::new(StatusCode::NOT_FOUND, "there is no such order to pay"));
    };
    let (order, user) = (order.to_owned(), user.to_owned());
    shop.outbox.emit_in(&mut tx, OrderPaid { order, user, sku, quantity, total_cents }).await?;
    tx.commit().await?;
    Ok(())
}
