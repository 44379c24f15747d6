//! The macros of typed-events; use them through the `typed-events` crate.
//!
//! Each goes parse -> validate -> expand. What they write is thin and names only
//! `typed_events::__private`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod ast;
mod attr;
mod case;
mod errors;
mod event;
mod event_set;
mod item;
mod lock;
mod on;
mod options;
mod payload;
mod schema;
mod secret;
mod source;
mod tokens;
mod view;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Declares an event: a struct or enum that can be emitted under a name.
///
/// ```
/// use typed_events::{Event, event};
///
/// #[event("user.created")]
/// pub struct UserCreated {
///     pub id: u64,
///     pub email: String,
/// }
///
/// assert_eq!(UserCreated::NAME, "user.created");
/// ```
///
/// The name has 1 to 16 segments of `[A-Za-z0-9_-]+` joined by `.`, at most 255 bytes. The macro adds
/// `Debug`, `Clone`, `Serialize` and `Deserialize` where the type does not derive them, without a
/// dependency on serde; serde's attributes work as usual. It stands above the derives. Every field's
/// type needs a schema: put [`payload`](macro@payload) above your own; types of the standard library
/// have one.
///
/// # Options
///
/// - `version = 2, previous = UserCreatedV1`: the shape has changed; records of the version before, a type
///   with `version = 1, superseded`, are read through
///   [`Upcast`](../typed_events/trait.Upcast.html). 1 unless said.
/// - `allow(naming)`: the name is not in the past tense, as `order.created` is, on purpose: no warning.
/// - `without(Debug)`: leaves out a derive, for an impl written by hand; also `Clone`, `Serialize`,
///   `Deserialize`.
/// - `crate = path`: where typed-events is, if not at `::typed_events`.
/// - `#[event(opaque)]` on a field: its type needs no schema, and is not checked.
/// - `#[event(secret)]` on a field: every textual form leaves it out (`Debug`, JSON, logs, histories that
///   are printed, exports); handlers get it, and an adapter as the builder says
///   ([`secrets`](../typed_events/struct.BusBuilder.html#method.secrets)).
/// - `#[event(view_of = UserCreated)]`, in place of a name: the part of an event that a consumer needs, a
///   [`View`](../typed_events/trait.View.html).
#[proc_macro_attribute]
pub fn event(arguments: TokenStream, item: TokenStream) -> TokenStream {
    event::attribute(arguments.into(), item.into(), None).into()
}

/// [`event`](macro@event) for an event under the [lock](../../typed_events/struct.SchemaLock.html): refuses a
/// change of its shape that records or running programs would not survive.
///
/// # Further options
///
/// - `compatibility = backward`: new programs read old records, but old programs need not read new
///   ones; `forward` is the other way round, and `full`, both, is what it is unless said.
/// - `reserved("name")`: a field of this name is gone, and no other may take it.
/// - `changed = "reason"`, and `#[event(changed = "reason")]` on a field: why a change is all right that
///   the lock would refuse. The lock's file keeps it; the next change needs a reason of its own.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn locked_event(arguments: TokenStream, item: TokenStream) -> TokenStream {
    event::attribute(arguments.into(), item.into(), Some(lock::Options::default())).into()
}

/// The [lock](../typed_events/struct.SchemaLock.html) of the package that is compiled, or of its workspace.
#[proc_macro]
pub fn schema_lock(_: TokenStream) -> TokenStream {
    lock::whole(&syn::parse_quote!(::typed_events)).into()
}

/// Makes a function a handler.
///
/// ```
/// use typed_events::{Record, event, on};
///
/// # pub struct Mailer;
/// # impl Mailer { async fn send(&self, _: &str) -> Result<(), String> { Ok(()) } }
/// #[event("user.invited")]
/// pub struct UserInvited { pub email: String }
///
/// #[on]
/// async fn invite(user: &UserInvited, mailer: &Mailer) -> Result<(), String> {
///     mailer.send(&user.email).await
/// }
///
/// #[on("user.*", "*.failed")]
/// fn audit(record: &Record) {
///     println!("{record}");
/// }
/// ```
///
/// The first argument says what it takes: `&E`, `Arc<E>` or `E` of an event, or `&Record` for any
/// event its patterns take. Every further `&T` is state given to the builder (`T` may be a
/// `dyn Trait`), or `&Bus`, `&Metadata`, `&Record`, `&Delivery`. It returns `()` or `Result<(), E>`
/// with an `E` that can be displayed.
///
/// Without a pattern the handler is on its event's name. A function with several patterns gets an
/// event once, even where several of them take it.
///
/// The function stays callable. A hidden type of its name stands for it in
/// [`BusBuilder::handler`](../typed_events/struct.BusBuilder.html#method.handler); so
/// `mod audit; pub use audit::audit;` is an error (E0255): name the module otherwise.
///
/// A crate of handlers that nothing refers to is not linked: write `use my_handlers as _;`.
#[proc_macro_attribute]
pub fn on(arguments: TokenStream, item: TokenStream) -> TokenStream {
    on::attribute(arguments.into(), item.into(), false).into()
}

/// [`on`](macro@on) under the [lock](../../typed_events/struct.SchemaLock.html): a pattern that no locked event
/// matches is an error, and so is an event set that lacks one of those its patterns take.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn locked_on(arguments: TokenStream, item: TokenStream) -> TokenStream {
    on::attribute(arguments.into(), item.into(), true).into()
}

/// Makes a struct or enum a part of events: a type their fields may have.
///
/// ```
/// use typed_events::{event, payload};
///
/// #[payload]
/// pub struct Money {
///     pub cents: i64,
///     pub currency: String,
/// }
///
/// #[event("invoice.sent")]
/// pub struct InvoiceSent {
///     pub total: Money,
/// }
/// ```
///
/// Adds `Debug`, `Clone`, `Serialize` and `Deserialize` where the type does not derive them, without a
/// dependency on serde, and [`Schema`](derive@Schema). serde's attributes work as usual. It stands
/// above the derives, and has the options of [`event`](macro@event): `without(Debug)`, `crate = path`,
/// and `#[event(opaque)]` and `#[event(secret)]` on a field. `#[payload(secret)]` makes all fields of the
/// type secret: text has `[secret]` in their place, also where several of them are keys of a map.
#[proc_macro_attribute]
pub fn payload(arguments: TokenStream, item: TokenStream) -> TokenStream {
    payload::attribute(arguments.into(), item.into()).into()
}

/// Gives a type of an event's field a schema, from its fields and serde's attributes: for types that
/// derive serde's traits themselves. [`payload`](macro@payload) does both.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use typed_events::{Schema, event};
///
/// #[derive(Debug, Clone, Serialize, Deserialize, Schema)]
/// pub struct Address { pub street: String, pub city: String }
///
/// #[event("user.relocated")]
/// pub struct UserRelocated { pub to: Address }
/// ```
///
/// A field of a foreign type without a schema is marked `#[schema(opaque)]`.
#[proc_macro_derive(Schema, attributes(schema, serde))]
pub fn derive_schema(item: TokenStream) -> TokenStream {
    schema::derive(parse_macro_input!(item as DeriveInput)).into()
}

/// Makes an enum a choice of events, for handlers on wildcards and for streams: see
/// [`EventSet`](../typed_events/trait.EventSet.html).
///
/// Each variant holds one `&'a E` or `Arc<E>`, another set, or a `&'a Record` for all other events.
/// `#[event_set(crate = path)]` says where typed-events is, if not at `::typed_events`.
#[proc_macro_derive(EventSet, attributes(event_set))]
pub fn derive_event_set(item: TokenStream) -> TokenStream {
    event_set::derive(&parse_macro_input!(item as DeriveInput)).into()
}

#[doc(hidden)]
#[proc_macro_derive(__Redact, attributes(__typed_event, schema, serde))]
pub fn derive_redact(item: TokenStream) -> TokenStream {
    secret::derive_debug(&parse_macro_input!(item as DeriveInput)).into()
}

#[doc(hidden)]
#[proc_macro_derive(__Secret, attributes(schema, serde))]
pub fn derive_secret(item: TokenStream) -> TokenStream {
    secret::derive_type(&parse_macro_input!(item as DeriveInput)).into()
}

#[doc(hidden)]
#[proc_macro_derive(__View, attributes(__typed_event, serde))]
pub fn derive_view(item: TokenStream) -> TokenStream {
    view::derive(&parse_macro_input!(item as DeriveInput)).into()
}

#[doc(hidden)]
#[proc_macro_derive(__Event, attributes(__typed_event, serde))]
pub fn derive_event(item: TokenStream) -> TokenStream {
    event::derive(&parse_macro_input!(item as DeriveInput)).into()
}
