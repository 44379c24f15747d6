//! The events of the shop.

use typed_events::{EventSet, event};

#[event("order.placed")]
pub struct OrderPlaced {
    pub order: String,
    pub user: String,
    pub sku: String,
    pub quantity: u32,
    pub total_cents: i64,
}

/// An order was refused because there is not enough in stock.
#[event("order.refused")]
pub struct OrderRefused {
    pub order: String,
    pub user: String,
    pub sku: String,
    pub quantity: u32,
    pub in_stock: i64,
}

#[event("order.paid")]
pub struct OrderPaid {
    pub order: String,
    pub user: String,
    pub sku: String,
    pub quantity: u32,
    pub total_cents: i64,
}

/// The argument of handlers that handle all events of orders.
#[derive(EventSet)]
pub enum OrderEvent<'a> {
    Placed(&'a OrderPlaced),
    Refused(&'a OrderRefused),
    Paid(&'a OrderPaid),
}

#[event("stock.reserved")]
pub struct StockReserved {
    pub order: String,
    pub sku: String,
    pub quantity: u32,
    pub left: i64,
}

#[event("notification.created")]
pub struct NotificationCreated {
    pub user: String,
    pub order: String,
    /// The name of the order's event.
    pub event: String,
    pub message: String,
}

#[event("video.uploaded")]
pub struct VideoUploaded {
    pub video: String,
    pub title: String,
}

#[event("video.processed")]
pub struct VideoProcessed {
    pub video: String,
    pub title: String,
}

/// A user wants to see a handler fail.
#[event("system.poked")]
pub struct SystemPoked {
    pub poke: String,
    pub by: String,
}

#[event("handler.failed")]
pub struct HandlerFailed {
    pub handler: String,
    pub event: String,
    /// The id of the event.
    pub id: String,
    pub error: String,
}
