//! Trims records that the log no longer has to keep, in small batches, so that no other call waits long.

use std::sync::Arc;
use std::time::Duration;

use events_core::{Retention, Timestamp};
use tokio::time::sleep;

use crate::log::Log;
use crate::scripts::TRIM;

/// Interval between trims.
const TRIM_INTERVAL: Duration = Duration::from_secs(10);
/// The most records that one call trims: the server runs nothing else meanwhile.
const BATCH: u64 = 500;

/// Trims the log until the task is aborted. Returns at once if everything is kept.
pub(crate) async fn keep(log: Arc<Log>, retention: Retention) {
    if retention.is_everything() {
        return;
    }
    let number = |bound: Option<u64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
    let mut failing = false;
    loop {
        let since = retention.max_age().map(|age| {
            let age = age.as_micros().try_into().unwrap_or(i64::MAX);
            Timestamp::now().as_micros().saturating_sub(age).to_string()
        });
        let trimmed = log.call::<u64>(&TRIM, |call, _| {
            call.arg(number(retention.max_records())).arg(since.as_deref().unwrap_or_default());
            call.arg(number(retention.max_bytes())).arg(BATCH).arg(u8::from(retention.ignores_consumers()));
        });
        match trimmed.await {
            Ok(0) => sleep(TRIM_INTERVAL).await,
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    log.receiver.warn(&format!("can't trim the log and tries again: {error}"));
                }
                sleep(TRIM_INTERVAL).await;
                continue;
            }
        }
        failing = false;
    }
}
