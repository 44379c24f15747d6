//! Names that sound like commands: warnings, which are denied here.

#![deny(deprecated)]

use typed_events::event;

#[event("order.create")]
pub struct OrderCreate;

#[event("mail.bulk-send")]
pub struct MailBulkSend;

#[event("order.pay", allow(spelling))]
pub struct OrderPay;

fn main() {}
