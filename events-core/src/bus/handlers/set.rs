//! Event sets: enums of several events, with a variant chosen by event name.

use std::marker::PhantomData;

use crate::bus::handlers::argument::Argument;
use crate::error::{Error, ErrorKind};
use crate::event::accepted::AcceptedEvents;
use crate::event::pattern::Pattern;
use crate::record::Record;
use crate::schema::same;

/// An enum of several events, for handlers on wildcards and for streams. Implement it with
/// `#[derive(EventSet)]`; each variant holds a `&'a E` or an `Arc<E>`.
///
/// A handler takes the set by value; nothing is cloned. Each event becomes the variant of its name. If
/// several variants could hold an event, the first is used. A variant that holds a `&'a Record` takes all
/// events.
///
/// Every variant is checked at compile time against the handler's patterns.
/// [`build`](crate::BusBuilder::build) refuses a handler whose patterns match a known event for which the set
/// has no variant.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use typed_events::{Bus, EventSet, event, on};
///
/// #[event("member.joined")]
/// pub struct Joined { pub id: u64 }
///
/// #[event("member.left")]
/// pub struct Left { pub id: u64 }
///
/// #[derive(EventSet)]
/// enum MemberEvent<'a> { Joined(&'a Joined), Left(&'a Left) }
///
/// #[on("member.*")]
/// fn log(event: MemberEvent<'_>) {
///     match event {
///         MemberEvent::Joined(member) => println!("{} joined", member.id),
///         MemberEvent::Left(member) => println!("{} left", member.id),
///     }
/// }
///
/// #[derive(EventSet)]
/// enum Kept { Joined(Arc<Joined>), Left(Arc<Left>) }
///
/// let bus = Bus::builder().handler::<log>().build().await?;
/// let mut members = bus.stream("member.*")?.set::<Kept>();
/// bus.emit(Left { id: 7 }).await?;
/// assert!(matches!(members.next().await.unwrap()?, Kept::Left(member) if member.id == 7));
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event set",
    label = "this type is not an event set",
    note = "put `#[derive(EventSet)]` on an enum whose variants hold one event each: `Created(Arc<UserCreated>)`"
)]
pub trait EventSet<H = ()> {
    /// Fails to evaluate, with an error at the variant, if a variant is never delivered to the handler `H`.
    #[doc(hidden)]
    const DELIVERED: ();
}

/// Type in a variant of an event set: any type that can be the first argument of a handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be in a variant of an event set: it is not an event",
    label = "expected `&E` or `Arc<E>` of an event or a view, or `&Record`",
    note = "put `#[event(\"...\")]` above the type, or take `&'a Record`",
    note = "instead of a `superseded` version, take the current one"
)]
pub trait Variant<'a>: Sized {
    /// See [`Argument::ACCEPTS`].
    const ACCEPTS: AcceptedEvents;
    /// See [`Argument::TAKES_ARC`].
    const TAKES_ARC: bool;

    /// See [`Argument::of_record`].
    fn of_record(record: &'a Record) -> Result<Self, Error>;
}

#[diagnostic::do_not_recommend]
impl<'a, T: Argument<'a>> Variant<'a> for T {
    const ACCEPTS: AcceptedEvents = <T as Argument<'a>>::ACCEPTS;
    const TAKES_ARC: bool = <T as Argument<'a>>::TAKES_ARC;

    #[inline]
    fn of_record(record: &'a Record) -> Result<Self, Error> {
        <T as Argument<'a>>::of_record(record)
    }
}

/// The patterns of a handler. Implemented by `#[on]`.
pub trait Patterns {
    /// The name of the function.
    const HANDLER: &'static str;
    /// The patterns in the attribute.
    const PATTERNS: &'static [&'static str];
}

/// Stands for no handler, if a set is checked without one.
impl Patterns for () {
    const HANDLER: &'static str = "";
    const PATTERNS: &'static [&'static str] = &[];
}

/// Detects whether a type is an event set: if it is, the inherent constant takes precedence over that of
/// [`NoSet`].
pub struct Delivered<T, H>(PhantomData<(T, H)>);

impl<T: EventSet<H>, H> Delivered<T, H> {
    /// See [`EventSet::DELIVERED`].
    pub const ALL: () = T::DELIVERED;
}

/// See [`Delivered`].
pub trait NoSet {
    /// Checks nothing, because the type is not an event set.
    const ALL: () = ();
}

impl<T, H> NoSet for Delivered<T, H> {}

impl AcceptedEvents {
    /// Returns true if records of this name are accepted.
    pub const fn contains(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Event(own, ..) | Self::Undeclared(own, ..) => same(own, name),
            Self::Set(parts) => {
                let mut i = 0;
                while i < parts.len() {
                    if parts[i].contains(name) {
                        return true;
                    }
                    i += 1;
                }
                false
            }
        }
    }

    /// Returns the index of the first entry of `before` that takes an event of `self`, if the entries
    /// together take all events of `self`.
    pub(crate) const fn accepted_before(&self, before: &[Self]) -> Option<usize> {
        match self {
            Self::Any => {
                let mut i = 0;
                while i < before.len() {
                    if let Self::Any = before[i] {
                        return Some(i);
                    }
                    i += 1;
                }
                None
            }
            Self::Event(name, ..) | Self::Undeclared(name, ..) => {
                let mut i = 0;
                while i < before.len() {
                    if before[i].contains(name) {
                        return Some(i);
                    }
                    i += 1;
                }
                None
            }
            Self::Set(parts) => {
                let mut first = None;
                let mut i = 0;
                while i < parts.len() {
                    let taken = parts[i].accepted_before(before);
                    if taken.is_none() {
                        return None;
                    }
                    if first.is_none() {
                        first = taken;
                    }
                    i += 1;
                }
                first
            }
        }
    }

    /// Returns true if any of the patterns matches an event of `self`.
    pub(crate) const fn is_reached(&self, patterns: &[&str]) -> bool {
        match self {
            Self::Any => true,
            Self::Event(name, ..) | Self::Undeclared(name, ..) => {
                let mut i = 0;
                while i < patterns.len() {
                    if let Ok(pattern) = Pattern::new(patterns[i])
                        && pattern.matches(name)
                    {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            Self::Set(parts) => {
                let mut i = 0;
                while i < parts.len() {
                    if parts[i].is_reached(patterns) {
                        return true;
                    }
                    i += 1;
                }
                false
            }
        }
    }
}

/// Returns the error of a record for which the event set has no variant.
///
/// # Errors
///
/// Always.
pub fn no_variant<T>(set: &str, record: &Record) -> Result<T, Error> {
    let message = format!("{}: the event set `{set}` has no variant for it", record.name());
    Err(Error::new(ErrorKind::Unreadable, message))
}
