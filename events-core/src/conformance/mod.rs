//! The tests every adapter has to pass: whether it keeps the laws of [`Adapter`](crate::Adapter) and
//! [`DurableAdapter`](crate::DurableAdapter), tried through buses and by hand.
//!
//! The author of an adapter says in a [`Harness`] how to make an empty place and how to open adapters on it, and what
//! the engine can do; [`run`] tries every law that this concerns and returns a [`Report`].
//!
//! The suite needs a multi-threaded runtime with a timer, and emits undeclared events, all of whose names begin with
//! `conformance.`. It takes as long as the engine needs for some 500,000 events unless [`Harness::scale`] says less.
//!
//! ```
//! use events_core::InMemory;
//! use events_core::conformance::{Ability, Harness, Scale, run};
//!
//! struct OfMemory;
//!
//! impl Harness for OfMemory {
//!     type Adapter = InMemory;
//!     type Store = InMemory;
//!
//!     fn abilities(&self) -> Vec<Ability> {
//!         vec![Ability::Joins, Ability::History, Ability::Deduplication]
//!     }
//!
//!     async fn fresh(&self) -> Result<InMemory, String> {
//!         Ok(InMemory::new())
//!     }
//!
//!     fn adapter(&self, store: &InMemory) -> InMemory {
//!         store.clone()
//!     }
//!
//!     fn scale(&self) -> Scale {
//!         Scale::small() // for an example; leave it out in a test
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     let report = run(OfMemory).await;
//!     println!("{report}");
//!     report.assert_ok();
//! }

//! ```

mod consumers;
mod damage;
mod harness;
mod history;
mod intercept;
mod leases;
mod live;
mod load;
mod manual_consumer;
mod operators;
mod order;
mod recorder;
mod report;
mod stopping;
mod testbed;
mod versions;

pub use crate::conformance::harness::{Ability, ExternalRecord, Harness, Scale};
pub use crate::conformance::report::{CaseOutcome, CaseReport, Report, run, run_only};
