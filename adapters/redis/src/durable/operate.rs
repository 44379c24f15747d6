//! Operators' calls.

use events_core::AdapterError;
use events_core::durable::{Caller, ConsumerId, DurableError, Operated, Operation, Position, matches_any};

use super::answers::{ToCount, operated, texts};
use super::calls::{self, Counted};
use super::judge;
use crate::log::Log;
use crate::scripts::{NAMES_OF, OPERATE, UNIONS};

/// How many events of a seek ahead one call counts.
const PAGE: u64 = 1_000;

pub(super) async fn operate(
    log: &Log,
    caller: &Caller,
    consumer: ConsumerId,
    operation: &Operation,
) -> Result<Operated, DurableError> {
    let argument = calls::operation(caller, operation, None);
    let (done, to_count) = operated(&judge::call(log, &OPERATE, consumer, &argument).await?)?;
    let Some(to_count) = to_count else { return Ok(done) };
    let counted = count(log, &to_count).await?;
    let argument = calls::operation(caller, operation, Some(counted));
    Ok(operated(&judge::call(log, &OPERATE, consumer, &argument).await?)?.0)
}

/// Finds the events of a page that the union takes.
async fn count(log: &Log, of: &ToCount) -> Result<Counted, AdapterError> {
    let union = texts(&of.union)?;
    let to = of.to.min(of.counted + PAGE);
    let names = names(log, of.counted + 1, to).await?;
    let taken = names.into_iter().filter(|(_, name)| matches_any(&union, name));
    Ok(Counted { counted: of.counted, counted_to: to, taken: taken.map(|(position, _)| position).collect() })
}

/// The names of the records from one position to another.
async fn names(log: &Log, from: Position, to: Position) -> Result<Vec<(Position, String)>, AdapterError> {
    let found: Found = log
        .call(&NAMES_OF, |call, _| {
            call.arg(from).arg(to).arg("");
        })
        .await?;
    Ok(found.1)
}

/// The last trimmed position, and positions and names.
type Found = (Position, Vec<(Position, String)>);

/// The names of the oldest records, and the last trimmed position.
pub(crate) async fn oldest(log: &Log, count: u64) -> Result<Found, AdapterError> {
    log.call(&NAMES_OF, |call, _| {
        call.arg("").arg("").arg(count);
    })
    .await
}

/// The number of the patterns of a consumer, and its union.
pub(crate) async fn union_of(log: &Log, consumer: ConsumerId) -> Result<(u64, Vec<String>), AdapterError> {
    let found: Option<(u64, String)> = log.call_with(&UNIONS, &log.keys_of(consumer), "{}").await?;
    let (number, union) = found.unwrap_or_default();
    Ok((number, texts(&union)?))
}
