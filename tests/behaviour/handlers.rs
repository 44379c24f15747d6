//! `#[on]` functions: their arguments, and how a bus selects them.

use std::sync::Arc;

use typed_events::{Bus, Delivery, Metadata, Record, event, on};

use crate::Seen;

#[event("handlers.created")]
pub struct Created {
    pub id: u32,
}

#[event("handlers.tuple")]
pub struct Tuple(pub u8, pub String);

#[event("handlers.choice")]
pub enum Choice {
    Tea { sugar: bool },
    Coffee(u8),
    Nothing,
}

type Alias = Created;
use std::sync::Arc as Shared;
use typed_events::Record as AnyEvent;

trait Clock: Send + Sync {
    fn hour(&self) -> u32;
}

struct Noon;
impl Clock for Noon {
    fn hour(&self) -> u32 {
        12
    }
}

#[on]
fn by_reference(event: &Created, seen: &Seen) {
    seen.push(format!("reference {}", event.id));
}

#[on]
fn by_value(event: Created, seen: &Seen) {
    seen.push(format!("value {}", event.id));
}

#[on]
fn by_arc(event: Shared<Created>, seen: &Seen) {
    seen.push(format!("arc {}", event.id));
}

#[on]
fn by_alias(event: &Alias, seen: &Seen) {
    seen.push(format!("alias {}", event.id));
}

#[on("handlers.+")]
async fn by_renamed_record(record: &AnyEvent, seen: &Seen) {
    tokio::task::yield_now().await;
    seen.push(format!("record {}", record.name()));
}

#[on("handlers.created")]
async fn with_everything(
    event: &Created,
    clock: &dyn Clock,
    bus: &Bus,
    metadata: &Metadata,
    record: &Record,
    delivery: &Delivery,
    seen: &Seen,
) -> Result<(), Box<dyn std::error::Error>> {
    tokio::task::yield_now().await;
    assert_eq!(record.origin(), bus.instance());
    assert_eq!(record.get::<Created>().map(|event| event.id), Some(event.id));
    assert_eq!(metadata.source(), Some("test"));
    assert!(
        delivery.handler().starts_with("behaviour::handlers::with_everything (tests/behaviour/handlers.rs:")
    );
    assert_eq!(delivery.pattern(), "handlers.created");
    seen.push(format!("everything at {}", clock.hour()));
    Ok(())
}

#[on]
fn sync_with_delivery(_: &Tuple, delivery: &Delivery, seen: &Seen) -> Result<(), String> {
    seen.push(delivery.record().json().map_err(|error| error.to_string())?);
    Ok(())
}

#[on]
pub fn choose(choice: &Choice, seen: &Seen) {
    seen.push(match choice {
        Choice::Tea { sugar } => format!("tea {sugar}"),
        Choice::Coffee(cups) => format!("coffee {cups}"),
        Choice::Nothing => "nothing".into(),
    });
}

async fn discovered() -> (Bus, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let clock: Arc<dyn Clock> = Arc::new(Noon);
    let bus = Bus::builder()
        .shared(clock)
        .shared(Arc::clone(&seen))
        .handler::<by_reference>()
        .handler::<by_value>()
        .handler::<by_arc>()
        .handler::<by_alias>()
        .handler::<by_renamed_record>()
        .handler::<with_everything>()
        .handler::<sync_with_delivery>()
        .handler::<choose>()
        .handler::<choose>()
        .build()
        .await
        .unwrap();
    (bus, seen)
}

#[tokio::test]
async fn arguments_are_resolved_by_type() {
    let (bus, seen) = discovered().await;
    let metadata = Metadata::new().with_source("test");
    let emitted = bus.emit(Created { id: 4 }).metadata(metadata).await.unwrap();
    assert!(emitted.failures().is_empty(), "{:?}", emitted.failures());
    let expected =
        ["alias 4", "arc 4", "everything at 12", "record handlers.created", "reference 4", "value 4"];
    assert_eq!(seen.sorted(), expected);
}

#[tokio::test]
async fn tuples_and_enums_are_events() {
    let (bus, seen) = discovered().await;
    bus.emit(Tuple(1, "x".into())).await.unwrap();
    bus.emit(Choice::Tea { sugar: true }).await.unwrap();
    bus.emit(Choice::Coffee(2)).await.unwrap();
    bus.emit(Choice::Nothing).await.unwrap();
    bus.emit_json("handlers.choice", r#"{"Coffee": 3}"#).await.unwrap();
    let mut seen = seen.take();
    seen.retain(|line| !line.starts_with("record"));
    assert_eq!(seen, [r#"[1,"x"]"#, "tea true", "coffee 2", "nothing", "coffee 3"]);
}

#[tokio::test]
async fn a_bus_lists_its_handlers_in_a_fixed_order() {
    let (bus, _) = discovered().await;
    let handlers = bus.handlers();
    let names: Vec<_> = handlers.iter().map(|info| info.name.split(' ').next().unwrap()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    assert_eq!(names.len(), 8);
    assert!(names.contains(&"behaviour::handlers::choose"));
    assert_eq!(handlers[0].patterns, ["handlers.created"]);
}

#[test]
fn handlers_stay_callable() {
    let seen = Seen::default();
    by_reference(&Created { id: 9 }, &seen);
    choose(&Choice::Nothing, &seen);
    assert_eq!(seen.take(), ["reference 9", "nothing"]);
}

macro_rules! counters {
    ($($event:ty),*) => {
        $(const _: () = {
            #[on]
            fn count(_: &$event, seen: &Seen) {
                seen.push(stringify!($event));
            }
        };)*
    };
}

counters!(MacroOne, MacroTwo);

#[event("handlers.macro.one")]
pub struct MacroOne;

#[event("handlers.macro.two")]
pub struct MacroTwo;

/// Regression test: the handlers have the same name and line, and were taken for one handler.
#[test]
fn handlers_that_one_macro_call_makes_are_all_found() {
    let names = linked_handlers();
    assert_eq!(
        names.iter().filter(|name| name.starts_with("behaviour::handlers::count ")).count(),
        2,
        "{names:?}"
    );
}

/// Returns all linked handlers, read from the errors of a bus without their state.
fn linked_handlers() -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(Bus::builder().discover().quiet().build()).unwrap_err().to_string();
    let lines = error.lines().filter_map(|line| line.strip_prefix("handler "));
    lines.map(str::to_owned).collect()
}
