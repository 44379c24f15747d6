//! Tests of the shop: its page in a browser, several instances, and rejected requests.

mod browser;
mod instances;
mod live;
mod page;
mod requests;
mod running;
mod tabs;
