//! Views: what a consumer needs of the event of another crate.

use serde_core::de::DeserializeOwned;

use crate::event::EventDecl;
use crate::schema::Schema;

/// The part of an event that a consumer needs. Written by `#[event(view_of = UserCreated)]`.
///
/// A crate that handles events of another one depends on the whole type, and on every field it does
/// not need. A view declares its own fields, and the compiler checks each against the event: one that
/// is not there, is of another type, may be `null` or may be absent is an error at the view's field.
/// Handlers take a view like an event, as `&V` or `V`, also in an [event set](trait@crate::EventSet);
/// it is never emitted.
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
/// In another service, which does not have the type, a view is checked against the event's file in the
/// lock (feature `lock`): `#[event(view_of = "user.created")]` of `typed_events::locked`. The name is then one that
/// [`Bus::emit_json`](crate::Bus::emit_json) and the adapter accept.
///
/// What is secret in the event must be secret in the view. A whole number that is read as `f64` is rounded
/// beyond 2^53.
///
/// # Complexity
///
/// A view is read from the event's JSON, once for each record and type of view; the event is written
/// once, if nothing else has asked for its JSON.
pub trait View: Schema + DeserializeOwned + Send + Sync + 'static {
    /// The name of the event.
    const NAME: &'static str;
    /// The version of the event it is checked against.
    const VERSION: u32;

    /// The event's declaration, where it is part of the program.
    #[doc(hidden)]
    const OF: Option<fn() -> &'static EventDecl>;
}
