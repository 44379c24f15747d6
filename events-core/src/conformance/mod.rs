//! Conformance tests for adapters. They check the requirements of [`Adapter`](crate::Adapter) and
//! [`DurableAdapter`](crate::DurableAdapter), through buses and by direct calls.
//!
//! The author of an adapter implements [`Harness`], which creates empty stores, opens adapters on them, and
//! lists what the engine supports. [`run`] runs every test case that the engine supports and returns a
//! [`Report`].
//!
//! The suite needs a multi-threaded runtime with a timer. It emits undeclared events whose names begin with
//! `conformance.`. By default, it emits about 500,000 events; [`Harness::scale`] can reduce that.
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

mod leases;
mod live;
mod load;
mod manual_consumer;
mod operators;
mod order;
mod recorder;
mod report;
mod shared;
mod stopping;
mod testbed;
mod versions;

pub use crate::conformance::harness::{Ability, ExternalRecord, Harness, Scale};
pub use crate::conformance::report::{CaseOutcome, CaseReport, Report, run, run_only};
