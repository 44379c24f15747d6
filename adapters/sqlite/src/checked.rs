//! What the check of the laws needs besides the contract: other bounds, and trimming at will.

use std::sync::Arc;

use events_core::store::{Limits, Store, TrimLimit, Trimmed};
use events_core::{AdapterError, Timestamp};

use crate::Sqlite;
use crate::executor::{Durability, Tx};
use crate::rows::Tables;

impl Sqlite {
    /// Sets other bounds of the work of a call.
    #[doc(hidden)]
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Trims a chunk of records, but not the newest one, and returns the store's time.
    ///
    /// # Errors
    ///
    /// An [`AdapterError`] if the file can't be written.
    #[doc(hidden)]
    pub async fn trim(
        &self,
        now: Timestamp,
        limit: TrimLimit,
        past_consumers: bool,
    ) -> Result<(Timestamp, Trimmed), AdapterError> {
        let engine = self.engine()?;
        let (views, limits) = (Arc::clone(&engine.views), engine.limits);
        let trim = move |tx: &Tx<'_>| {
            let newest = crate::log::last(tx)?.unsigned_abs();
            let limit = match limit {
                TrimLimit::To(to) => TrimLimit::To(to.min(newest.saturating_sub(1))),
                TrimLimit::Age { age, .. } => TrimLimit::Age { age, keep: 1 },
            };
            let mut tables = Tables(tx);
            let mut store = Store::new(&mut tables, &views, &limits, now)?;
            let trimmed = store.trim(limit, limits.chunk as u64, past_consumers)?;
            Ok((Timestamp::from_micros(store.end()?.time), trimmed))
        };
        engine.writer.run(Durability::Immediate, trim).await
    }
}
