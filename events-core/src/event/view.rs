//! Views: types that read some fields of an event.

use serde_core::de::DeserializeOwned;

use crate::event::{Event, EventDecl};
use crate::schema::{Schema, TypeSchema};

/// A type that reads some fields of an event. `#[event(view_of = UserCreated)]` implements it.
///
/// A crate that handles an event type of another crate depends on every field of that type, including fields
/// that it does not need. A view declares only the fields it needs, and the compiler checks each of them
/// against the event. A field that the event lacks, that has another type, that may be `null` or that may be
/// absent is a compile error at that field of the view. Handlers take a view like an event, as `&V` or `V`,
/// and as a variant of an [event set](trait@crate::EventSet). A view is never emitted.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use typed_events::{Bus, event, on};
///
/// #[event("view_doc.created")]
/// pub struct UserCreated { pub id: u64, pub email: String, pub address: String }
///
/// #[event(view_of = UserCreated)]
/// struct Mailed { email: String }
///
/// #[on]
/// fn welcome(user: &Mailed) {
///     assert_eq!(user.email, "a@b.c");
/// }
///
/// let bus = Bus::builder().handler::<welcome>().build().await?;
/// let user = UserCreated { id: 1, email: "a@b.c".into(), address: "Bonn".into() };
/// assert!(bus.emit(user).await?.failures().is_empty());
/// # Ok(()) }
/// ```
///
/// A service that does not have the event type checks the view against the event's file in the schema lock
/// (feature `lock`), with `#[event(view_of = "user.created")]` of `typed_events::locked`.
/// [`Bus::emit_json`](crate::Bus::emit_json) and the adapter then accept events of that name.
///
/// A field that is secret in the event must be secret in the view. An integer that is read as `f64` is
/// rounded beyond 2^53.
///
/// # Complexity
///
/// A view is decoded from the event's JSON once for each pair of record and view type. The event is
/// serialised once, unless its JSON already exists.
pub trait View: Schema + DeserializeOwned + Send + Sync + 'static {
    /// Name of the event.
    const NAME: &'static str;
    /// Version of the event that the view is checked against.
    const VERSION: u32;

    /// Declaration of the event, if its type is linked into the program.
    #[doc(hidden)]
    const DECL: Option<fn() -> &'static EventDecl>;
}

/// The event of a view: each event in its current version. It is a trait of its own for its message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event, so it can't have a view",
    label = "expected a type with `#[event(\"...\")]`, in its current version",
    note = "name the event that is emitted: a view reads some of its fields",
    note = "a field's own type, with `#[payload]`, needs no view: use the type itself, or a `#[payload]` with fewer fields",
    note = "instead of a `superseded` version, take the current one: older records are converted to it"
)]
pub trait Viewed {
    /// Name of the event.
    const NAME: &'static str;
    /// Version of the event.
    const VERSION: u32;
    /// Schema of the payload.
    const SCHEMA: &'static TypeSchema;
    /// Declaration of the event.
    const DECL: fn() -> &'static EventDecl;
}

#[diagnostic::do_not_recommend]
impl<E: Event> Viewed for E {
    const NAME: &'static str = E::NAME;
    const VERSION: u32 = E::VERSION;
    const SCHEMA: &'static TypeSchema = E::SCHEMA;
    const DECL: fn() -> &'static EventDecl = E::decl;
}
