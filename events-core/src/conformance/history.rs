//! Cases about which records the history keeps, and how it is queried.

use std::sync::Arc;

use crate::adapter::Adapter;
use crate::adapter::log::{LogPosition, LogQuery, Start};
use crate::adapter::query::HistoryQuery;
use crate::bus::inner::Bus;
use crate::conformance::harness::{Ability, Harness};
use crate::conformance::live::facts;
use crate::conformance::manual_consumer::after;
use crate::conformance::recorder::{each_once, number, same};
use crate::conformance::shared::Shared;
use crate::conformance::testbed::{
    CaseResult, Testbed, cases, emit_at_once, emit_numbers, emit_with, ensure, in_tasks, numbered, record,
};
use crate::error::ErrorKind;
use crate::id::{EventId, InstanceId};
use crate::json::MAX_DEPTH;
use crate::record::codec::RecordCodec;
use crate::record::metadata::Metadata;
use crate::record::{Envelope, Record};

cases! { "history":
    it_answers_as_the_one_in_memory [History],
    all_of_a_record_is_kept [History],
    payloads_are_kept_as_they_were_written [History],
    times_never_decrease [History],
    records_of_a_call_stand_together [History],
    duplicates_within_and_across_calls [History, Deduplication],
    an_id_belongs_to_one_event [History, Deduplication],
    it_is_read_forwards_by_position [History],
    it_can_be_read_after_stop_and_by_the_next_instance [History],
    a_late_handler_misses_nothing_and_gets_nothing_twice [Joins, History],
}

const EVERYTHING: usize = 1_000_000;

/// A generator of pseudo-random numbers, which are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, max: u64) -> u64 {
        // The multiplier and increment of Knuth's MMIX generator. Only the upper bits are used, because the
        // lower ones have short periods.
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % max.max(1)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

async fn all_of(bus: &Bus, pattern: &str) -> Result<Vec<Record>, crate::error::Error> {
    bus.history(pattern).limit(EVERYTHING).await?.complete()
}

/// Checks that `history` returns the newest `limit` records that the query accepts, oldest first, from every
/// instance.
async fn it_answers_as_the_one_in_memory<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    const NAMES: [&str; 8] = [
        "conformance.user.created",
        "conformance.user.deleted",
        "conformance.user.login.failed",
        "conformance.order.paid",
        "conformance.order",
        "conformance.a.b.c.d",
        "conformance.stock.b",
        "conformance.users",
    ];
    const PATTERNS: [&str; 9] = [
        "*",
        "conformance.user.*",
        "*.created",
        "conformance.user.+",
        "conformance.order.paid",
        "conformance.order",
        "conformance.a.*.d",
        "conformance.none.*",
        "+.+.b",
    ];
    let (buses, mut random) = (testbed.buses_of(2).await?, Random(7));
    let mut kept = Vec::new();
    for n in 0..600 {
        let (bus, name) = (&buses[n % 2], random.of(&NAMES));
        let emitted = bus.emit_json(name, numbered(n)).await?;
        kept.push(emitted.record().ok_or("an emit through an adapter has a record")?.clone());
    }
    for round in 0..300 {
        let mut query = HistoryQuery::new(random.of(&PATTERNS))?;
        query = query.with_limit([0, 1, 7, 100, EVERYTHING][random.below(5) as usize]);
        let some = |random: &mut Random| kept[random.below(600) as usize].timestamp();
        let since = (random.below(3) == 0).then(|| some(&mut random));
        let until = (random.below(3) == 0).then(|| some(&mut random));
        let mut asked = buses[round % 2].history(query.pattern()).limit(query.limit());
        if let Some(since) = since {
            asked = asked.since(since);
        }
        if let Some(until) = until {
            asked = asked.until(until);
        }
        let is_asked = |record: &&Record| {
            query.accepts(record)
                && since.is_none_or(|since| since <= record.timestamp())
                && until.is_none_or(|until| record.timestamp() <= until)
        };
        let expected: Vec<_> = kept.iter().filter(is_asked).map(number).collect();
        let newest = expected[expected.len().saturating_sub(query.limit())..].to_vec();
        let came: Vec<_> = asked.await?.iter().map(number).collect();
        same(&format!("{query:?} since {since:?} until {until:?}"), came, newest)?;
    }
    Ok(())
}

/// Checks that `read_log` returns the records after a position in the order of the history, from every
/// instance, and in pages of the requested size. Checks also that it recognises positions that the log does
/// not keep.
async fn it_is_read_forwards_by_position<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let buses = testbed.buses_of(2).await?;
    let start = buses[0].inner.read_log(&LogQuery::new("*")?).await?.newest();
    for n in 0..200 {
        let name = ["conformance.read.one", "conformance.read.other"][n % 2];
        buses[n / 2 % 2].emit_json(name, numbered(n)).await?;
    }
    let history = all_of(&buses[0], "conformance.read.*").await?;
    for (pattern, max_records, max_bytes) in [
        ("*", 7, 1 << 20),
        ("conformance.read.*", 1_000, 1),
        ("conformance.read.one", 64, 2_000),
        ("none.*", 50, 9),
    ] {
        let query = LogQuery::new(pattern)?.max_records(max_records).max_bytes(max_bytes);
        let (mut position, mut read, mut last) = (start, Vec::new(), 0);
        loop {
            let page = buses[read.len() % 2].inner.read_log(&query.clone().after(position)).await?;
            ensure!(
                page.start() == Start::Found,
                "{pattern}: a position returned by the log is {:?}",
                page.start()
            );
            let (end, newest) = (page.end(), page.newest());
            ensure!(
                end.number - position.number <= max_records,
                "{pattern}: a page spans {} positions, but at most {max_records} were requested",
                end.number - position.number
            );
            let records = page.into_records();
            ensure!(max_bytes != 1 || records.len() <= 1, "{pattern}: a page has more bytes than requested");
            for (number, record) in records {
                ensure!(
                    number > last && number > position.number && number <= end.number,
                    "{pattern}: {number} is out of order"
                );
                last = number;
                read.push(record.map_err(|error| error.to_string())?.id());
            }
            if end == newest {
                break;
            }
            ensure!(end.number > position.number, "{pattern}: a page ends at the position where it began");
            position = end;
        }
        let kept = history.iter().filter(|record| query.takes(record.name()));
        ensure!(
            read == kept.map(Record::id).collect::<Vec<_>>(),
            "{pattern}: the records read differ from those in the history"
        );
    }
    let query = LogQuery::new("*")?;
    let newest = buses[0].inner.read_log(&query).await?.newest();
    let ahead = LogPosition { number: newest.number + 1, ..newest };
    let other = LogPosition { log: newest.log.with_epoch(9), ..newest };
    let max = LogPosition { number: u64::MAX, ..newest };
    for (position, expected) in
        [(newest, Start::Found), (ahead, Start::Ahead), (max, Start::Ahead), (other, Start::OtherLog)]
    {
        let page = buses[1].inner.read_log(&query.clone().after(position)).await?;
        ensure!(page.start() == expected, "{position}: expected {expected:?}, found {:?}", page.start());
        ensure!(page.into_records().is_empty(), "{position}: the page has records, but should have none");
    }
    Ok(())
}

/// Checks that the history returns records as they were published, with payload and metadata.
async fn all_of_a_record_is_kept<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (one, two) = (testbed.bus().await?, testbed.bus().await?);
    let json = r#"{"n":1,  "future": {"deep": [1.50, {"x": null}]}}"#;
    let metadata = Metadata::new()
        .with_source("here")
        .with_correlation_id("c")
        .with_causation_id("d")
        .with_trace_context("00-4bf92f-00f067-01", Some("vendor=1".to_owned()))
        .with("deep", serde_json::json!([{"a": 1.5}]));
    let id = EventId::new();
    let emitted = emit_with(&one, "conformance.thing.done", json, metadata, Some(id)).await?;
    let sent = emitted.record().ok_or("an emit through an adapter has a record")?;
    for bus in [&one, &two] {
        let kept = bus.history("*").await?;
        ensure!(kept.len() == 1, "expected 1 record in the history, found {}", kept.len());
        same("the record", facts(&kept[0]), facts(sent))?;
        same("the id", kept[0].id(), id)?;
        same("the payload", kept[0].json()?, json)?;
    }
    Ok(())
}

/// Checks that payloads are delivered and stored as the same text as they were published: numbers of any size
/// with all their digits, nesting up to the maximum depth, escapes, and white space.
async fn payloads_are_kept_as_they_were_written<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let (two_deep, deepest) = (nested(2), nested(usize::from(MAX_DEPTH)));
    let long = format!("\"{}\"", "é漢".repeat(20_000));
    let payloads = [
        "117.63331139400017",
        "5e-324",
        "-1.7976931348623157e308",
        "-0.0",
        "1.50",
        "9007199254740993",
        "18446744073709551616",
        "340282366920938463463374607431768211455",
        "-170141183460469231731687303715884105728",
        r#""\u0000\ud834\udd1e \"\\""#,
        r#"{ "a" : null , "a b": [ ] }"#,
        "null",
        "{}",
        "\"\"",
        &two_deep,
        &deepest,
        &long,
    ];
    let (one, two, recorder) = (testbed.bus().await?, testbed.bus().await?, testbed.recorder());
    let log = Arc::clone(&recorder);
    two.pattern("conformance.thing.*")
        .on(move |record: &Record| log.note(record.json().unwrap_or_default().to_owned()))?;
    for payload in payloads {
        one.emit_json("conformance.thing.done", payload).await?;
    }
    let kept: Vec<_> =
        all_of(&two, "*").await?.iter().map(|record| record.json().unwrap_or_default().to_owned()).collect();
    same("payloads in the history", kept, payloads.map(str::to_owned).to_vec())?;
    if testbed.has(Ability::Joins) {
        same(
            "payloads at the handlers",
            recorder.wait_for(payloads.len()).await?,
            payloads.map(str::to_owned).to_vec(),
        )?;
    }
    let too_deep = one.emit_json("conformance.thing.done", nested(usize::from(MAX_DEPTH) + 1)).await;
    ensure!(too_deep.is_err(), "a payload that is nested too deeply to be decoded was accepted");
    Ok(())
}

/// Checks that timestamps never decrease in the order of the history, with concurrent publishers.
async fn times_never_decrease<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let buses = testbed.buses_of(3).await?;
    let emitters = buses.clone();
    in_tasks(6, move |task| {
        let bus = emitters[task % 3].clone();
        async move { emit_at_once(&bus, "conformance.thing.done", task * 100..(task + 1) * 100).await }
    })
    .await?;
    let kept = all_of(&buses[0], "*").await?;
    each_once("records in the history", kept.iter().map(number).collect(), 600)?;
    let times: Vec<_> = kept.iter().map(Record::timestamp).collect();
    ensure!(times.is_sorted(), "the timestamps decrease along the history");
    let other: Vec<_> = all_of(&buses[1], "*").await?.iter().map(Record::id).collect();
    same("order of the history in another instance", other, kept.iter().map(Record::id).collect())
}

fn new_record(json: &str, origin: InstanceId, id: EventId) -> Record {
    record("conformance.thing.done", json, Envelope { id: Some(id), ..Envelope::new(origin) })
}

/// Checks that `publish` adds the records of one call to the history in their order, without other records
/// between them.
async fn records_of_a_call_stand_together<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let mut instances = Vec::new();
    for _ in 0..2 {
        let shared = Shared(Arc::new(testbed.adapter()));
        let adapter = Arc::clone(&shared.0);
        instances.push((testbed.build(testbed.bare().adapter(shared)).await?, adapter));
    }
    let (publishers, codec) = (instances.clone(), RecordCodec::default());
    in_tasks(8, move |task| {
        let ((bus, adapter), codec) = (publishers[task % 2].clone(), codec.clone());
        async move {
            for call in 0..10 {
                let first = (task * 10 + call) * 10;
                let json = |n| new_record(&numbered(n), bus.instance(), EventId::new());
                let records: Vec<_> = (first..first + 10).map(json).collect();
                adapter.publish(&records, &codec).await?;
            }
            Ok(())
        }
    })
    .await?;
    let kept: Vec<_> = all_of(&instances[0].0, "*").await?.iter().map(number).collect();
    each_once("records in the history", kept.clone(), 800)?;
    let apart = kept.chunks(10).find(|call| call.windows(2).any(|two| two[0] + 1 != two[1]));
    ensure!(apart.is_none(), "the records of one call are not adjacent, or not in order: {apart:?}");
    Ok(())
}

/// Checks that a record whose id is stored is not stored again, and that `Published` reports it as a
/// duplicate.
async fn duplicates_within_and_across_calls<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let shared = Shared(Arc::new(testbed.adapter()));
    let adapter = Arc::clone(&shared.0);
    let (bus, codec) = (testbed.build(testbed.bare().adapter(shared)).await?, RecordCodec::default());
    let (first, second) = (EventId::new(), EventId::new());
    let new = |n: u64, id| new_record(&numbered(n), bus.instance(), id);
    let published = adapter.publish(&[new(0, first), new(1, second)], &codec).await?;
    same(
        "duplicates among new ids",
        (0..2).map(|n| published.is_duplicate(n)).collect::<Vec<_>>(),
        vec![false, false],
    )?;
    let third = EventId::new();
    let again = [new(0, first), new(2, third), new(2, third), new(3, EventId::new())];
    let published = adapter.publish(&again, &codec).await?;
    let duplicates: Vec<_> = (0..4).map(|n| published.is_duplicate(n)).collect();
    same(
        "duplicates among stored ids and ids that the call repeats",
        duplicates,
        vec![true, false, true, false],
    )?;
    same("records in the history", all_of(&bus, "*").await?.iter().map(number).collect(), vec![0, 1, 2, 3])
}

/// Checks that an emit under the id of another event is refused by every instance, and that nothing is stored.
async fn an_id_belongs_to_one_event<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let id = EventId::new();
    let emit = async |bus: &Bus, name, number: u64| bus.emit_json(name, numbered(number)).id(id).await;
    let buses = testbed.buses_of(2).await?;
    emit(&buses[0], "conformance.thing.done", 0).await?;
    for bus in &buses {
        for (name, number) in [("conformance.thing.done", 1), ("conformance.thing.other", 0)] {
            match emit(bus, name, number).await {
                Err(error) => same("the kind of error", error.kind(), ErrorKind::IdConflict)?,
                Ok(_) => ensure!(false, "an emit of {name} under the id of another event is Ok"),
            }
        }
        let again = emit(bus, "conformance.thing.done", 0).await?;
        ensure!(again.is_duplicate(), "the same event under its id is no duplicate");
    }
    same("records in the history", all_of(&buses[1], "*").await?.iter().map(number).collect(), vec![0])
}

/// Checks that `history` works after `stop`, and that the next instance on the store reads what was published
/// before.
async fn it_can_be_read_after_stop_and_by_the_next_instance<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let bus = testbed.bus().await?;
    emit_numbers(&bus, "conformance.thing.done", 0..10).await?;
    bus.stop().await?;
    let next = testbed.bus().await?;
    emit_numbers(&next, "conformance.thing.done", 10..20).await?;
    let kept =
        |records: crate::bus::read::history::Events<Record>| records.iter().map(number).collect::<Vec<_>>();
    same("records in the next instance", kept(next.history("*").await?), (0..20).collect())?;
    next.stop().await?;
    same("records after `stop`", kept(next.history("*").await?), (0..20).collect())
}

/// Checks that no event is missed from when `subscribe` returns, and that a handler with replay gets each
/// past and new event once.
async fn a_late_handler_misses_nothing_and_gets_nothing_twice<H: Harness>(testbed: Testbed<H>) -> CaseResult {
    let (from, to, recorder) = (testbed.bus().await?, testbed.bus().await?, testbed.recorder());
    emit_at_once(&from, "conformance.thing.done", 0..100).await?;
    let emitting = tokio::spawn({
        let from = from.clone();
        async move { emit_at_once(&from, "conformance.thing.done", 100..600).await }
    });
    let log = Arc::clone(&recorder);
    to.pattern("conformance.thing.*").replay(700).on(move |record: &Record| log.note(number(record))).await?;
    emitting.await??;
    from.emit_json("conformance.thing.done", numbered(600)).await?;
    let came = recorder.wait_for(601).await?;
    each_once("past and new events", came, 601)?;
    let newest = all_of(&to, "*").await?.pop().ok_or("the history is empty")?;
    let later = after(newest.timestamp(), std::time::Duration::from_micros(1));
    same("records after the newest one", to.history("*").since(later).await?.len(), 0)
}
