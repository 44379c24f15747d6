//! Handlers in a module.

use typed_events::{Record, on};

use super::events;

/// Writes down what happens to users.
#[on("user.*")]
pub fn record(record: &Record) {
    println!("{}", record.name());
}

pub mod deep {
    #[typed_events::on]
    pub(super) fn emptied(_: &super::events::CartEmptied) {}

    pub fn run() {
        emptied(&super::events::CartEmptied);
    }
}

/// Has the name of its module.
#[on]
pub fn audit(failed: &events::OrderFailed) {
    drop(failed.reason.clone());
}
