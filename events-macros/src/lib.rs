//! The macros of typed-events; use them through the `typed-events` crate.
//!
//! Each macro parses its input, validates it, and expands it to thin code that refers only to items of
//! `typed_events::__private`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod ast;
mod attr;
mod case;
mod errors;
mod event;
mod event_set;
mod item;
#[cfg_attr(not(feature = "lock"), path = "no_lock.rs")]
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

/// Defines an attribute, and the attribute of the same name in `typed_events::locked`, whose docs are those of the first
/// and further ones. This macro repeats the docs, because rust-analyzer does not show docs from `include_str!`.
macro_rules! attributes {
    (
        $(#[$docs:meta])* $name:ident => $expand:expr;
        $(#[$locked_docs:meta])* $locked_name:ident => $locked_expand:expr;
    ) => {
        $(#[$docs])*
        #[proc_macro_attribute]
        pub fn $name(arguments: TokenStream, item: TokenStream) -> TokenStream {
            $expand(arguments.into(), item.into()).into()
        }

        #[cfg(feature = "lock")]
        $(#[$docs])*
        $(#[$locked_docs])*
        #[doc(hidden)]
        #[proc_macro_attribute]
        pub fn $locked_name(arguments: TokenStream, item: TokenStream) -> TokenStream {
            $locked_expand(arguments.into(), item.into()).into()
        }
    };
}

attributes! {
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
    /// Write it on a struct or an enum without type parameters and lifetimes, above all derives. It adds `Debug`,
    /// `Clone`, `Serialize` and `Deserialize` if the type does not derive them, without a dependency on serde. serde's attributes
    /// work as usual. The type of every field needs a schema. Types of the standard library have one; write
    /// [`payload`](https://docs.rs/typed-events/latest/typed_events/attr.payload.html) above your own types.
    ///
    /// # Options
    ///
    /// The name comes first; the others follow it in any order, each at most once.
    ///
    /// | option | value | default |
    /// |---|---|---|
    /// | `"user.created"` | the name: 1 to 16 segments of `[A-Za-z0-9_-]+` joined by `.`, at most 255 bytes; its first segment is not `typed-events` | required |
    /// | `version = 2` | whole number from 1 to 4,294,967,295: the version of the event's shape | `1` |
    /// | `previous = UserCreatedV1` | type of the previous version, whose records are converted by [`Upcast`](https://docs.rs/typed-events/latest/typed_events/trait.Upcast.html) | none; required from version 2 on, and not allowed for version 1 |
    /// | `superseded` | no value: a newer version exists; the type is only read, and can't be emitted or handled | not superseded |
    /// | `allow(naming)` | `naming`, the only lint: no warning for a name that reads like a command, such as `order.create` | the warning is on |
    /// | `without(Debug, ...)` | any of `Debug`, `Clone`, `Serialize`, `Deserialize`: derives to leave out, for impls written by hand. With a secret field, `Serialize` can't be left out | nothing is left out |
    /// | `crate = path` | path without quotes to typed-events, for macros that re-export it; not `$crate` | `::typed_events` |
    ///
    /// On a field:
    ///
    /// | option | effect | default |
    /// |---|---|---|
    /// | `#[event(opaque)]` | the field's type needs no schema, and its content is neither described nor compared | it needs a schema |
    /// | `#[event(secret)]` | the field is left out of text (`Debug`, JSON, logs, printed histories, exports). Handlers get it; adapters get it as configured by [`BusBuilder::secrets`](https://docs.rs/typed-events/latest/typed_events/struct.BusBuilder.html#method.secrets). The field must have a name, and none of serde's `skip...` and `flatten`. The type must not derive `Debug` itself, and must have none of serde's `into`, `transparent` and `remote` | not secret |
    ///
    /// # Views
    ///
    /// `#[event(view_of = UserCreated)]`, in place of a name, declares a [`View`](https://docs.rs/typed-events/latest/typed_events/trait.View.html): the part of an event
    /// that a consumer needs.
    ///
    /// | option | value | default |
    /// |---|---|---|
    /// | `view_of = UserCreated` | type of the event; under the schema lock also its name in quotes | required, first |
    /// | `without(Debug, ...)`, `crate = path` | as above; `Serialize` is never added | as above |
    event => |arguments, item| event::attribute(arguments, item, None);

    ///
    /// # Under the schema lock
    ///
    /// A change of the event's shape that would make old records unreadable or break running programs is an error. Further
    /// options:
    ///
    /// | option | value | default |
    /// |---|---|---|
    /// | `compatibility = full` | `full`: new programs read old records, and old programs read new ones; `backward`: only the former; `forward`: only the latter | `full` |
    /// | `reserved("name", ...)` | names of removed fields, in quotes: no new field may use them | none |
    /// | `changed = "reason"` | the reason for a change that the lock would refuse otherwise, if the change concerns no single field; not empty. The lock file stores the reason, and the next such change needs another one | none |
    /// | `#[event(changed = "reason")]` on a field | the same for a change of this field | none |
    /// | `view_of = "user.created"` | name of an event of the lock, in place of its type | |
    locked_event => |arguments, item| event::attribute(arguments, item, Some(lock::Options::default()));
}

/// Returns the schema lock of the compiled package or its workspace, which is stored in the folder `events.lock`.
#[cfg(feature = "lock")]
#[proc_macro]
pub fn schema_lock(_: TokenStream) -> TokenStream {
    lock::expand_schema_lock(&syn::parse_quote!(::typed_events)).into()
}

attributes! {
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
    /// The function must be in a module or a block, not in an `impl` or a `trait`, and must have no type parameters. It
    /// may be `async`. Other code can still call it.
    ///
    /// - **The first argument** is the event: `&E`, `Arc<E>` or `E` of an event, an enum with
    ///   [`EventSet`](https://docs.rs/typed-events/latest/typed_events/derive.EventSet.html), `&V` or `V` of a [`View`](https://docs.rs/typed-events/latest/typed_events/trait.View.html), or `&Record` for any event that the
    ///   patterns take.
    /// - **Further arguments** are state, `&T` or `&dyn Trait`, which is given to the builder with
    ///   [`BusBuilder::state`](https://docs.rs/typed-events/latest/typed_events/struct.BusBuilder.html#method.state); or `&Bus`, `&Metadata`, `&Record`, `&Delivery`.
    /// - **The return type** is `()` or `Result<(), E>` with an `E` that implements `Display`.
    ///
    /// # Options
    ///
    /// Patterns and options may be mixed in any order, each at most once. A time is a whole number from 1 with its
    /// unit: `ms`, `s`, `m` or `h`.
    ///
    /// | option | value | default |
    /// |---|---|---|
    /// | `"user.*", ...` | patterns in quotes, each once: `*` is one or more segments, `+` exactly one. For an argument that is one event or a view, only that event's name. A function with several patterns gets an event once | the event's name; required for `&Record` and event sets |
    /// | `durable = "name"` | name of the consumer: 1 to 128 of `A-Z`, `a-z`, `0-9`, `-`, `_`, `.`. Needs the feature `durable`, which `sqlite` and `redis` contain | the handler is live |
    /// | `crate = path` | path without quotes to typed-events, for macros that re-export it | `::typed_events` |
    ///
    /// With `durable`:
    ///
    /// | option | value | default |
    /// |---|---|---|
    /// | `retries = 8` | whole number from 0 to 1,000,000: calls after the first one has failed. Then the event becomes a dead letter | `5` |
    /// | `backoff = "1s..10m"` | two times: the wait before the first retry, and the longest wait, which is not shorter. The wait doubles with each retry, and is shortened at random by up to a half. A single time is the first wait; the longest wait is then 5 min, or the first wait if that is longer | `"1s..5m"` |
    /// | `timeout = "30s"` | a time, or `"never"`: limit of one call. A call that takes longer has failed | `"60s"` |
    /// | `concurrency = 4` | whole number from 1 to 1024: events at a time in each process | `1` |
    /// | `ordered_by = "field"` | name of a field, as in JSON, that each event of the handler has: events with the same value are handled one after the other, in the order of the log. Its type is a string, a whole number, `bool`, `char`, an enum without data, a tuple of these, or an `Option` of one. Not for `&Record` | no order while an event is retried |
    /// | `nulls = "together"` | `"together"` or `"unordered"`, with `ordered_by`: whether events in which the field is `null` or absent have one key, or none | `"unordered"` |
    /// | `from = "start"` | `"start"` (the oldest stored event) or `"now"` (the next event): where a new consumer begins | `"now"` |
    ///
    /// # Selecting and linking
    ///
    /// A bus takes the handlers that its builder selects, such as all of them with
    /// [`BusBuilder::discover`](https://docs.rs/typed-events/latest/typed_events/struct.BusBuilder.html#method.discover). A crate of handlers that nothing refers to is not
    /// linked: write `use my_handlers as _;`.
    ///
    /// A hidden type with the name of the function identifies the handler in
    /// [`BusBuilder::handler`](https://docs.rs/typed-events/latest/typed_events/struct.BusBuilder.html#method.handler). Therefore `mod audit; pub use audit::audit;` is an
    /// error (E0255): give the module another name.
    on => |arguments, item| on::attribute(arguments, item, false);

    ///
    /// # Under the schema lock
    ///
    /// A pattern that no locked event matches is an error, and so is an event set that lacks one of the events that its
    /// patterns take. The options are the same.
    locked_on => |arguments, item| on::attribute(arguments, item, true);
}

/// Declares a struct or enum that fields of events can contain.
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
/// Write it above all derives. It adds `Debug`, `Clone`, `Serialize` and `Deserialize` if the type does not derive
/// them, without a dependency on serde, and [`Schema`](https://docs.rs/typed-events/latest/typed_events/derive.Schema.html); serde's attributes work as usual.
///
/// # Options
///
/// | option | value | default |
/// |---|---|---|
/// | `secret` | no value: the whole type is secret. Text has `[secret]` instead of each value, even of keys of maps, which are then all the same. The type must have no type parameters, and `without(...)` can leave out only `Clone` | not secret |
/// | `without(Debug, ...)` | any of `Debug`, `Clone`, `Serialize`, `Deserialize`: derives to leave out, for impls written by hand | nothing is left out |
/// | `crate = path` | path without quotes to typed-events, for macros that re-export it; not `$crate` | `::typed_events` |
/// | `#[event(opaque)]`, `#[event(secret)]` on a field | as for [`event`](https://docs.rs/typed-events/latest/typed_events/attr.event.html) | |
#[proc_macro_attribute]
pub fn payload(arguments: TokenStream, item: TokenStream) -> TokenStream {
    payload::attribute(arguments.into(), item.into()).into()
}

/// Implements `Schema` for a type that fields of events can contain, from its fields and serde's attributes. Use it for
/// types that derive serde's traits themselves. [`payload`](https://docs.rs/typed-events/latest/typed_events/attr.payload.html) also derives these.
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
/// # Options
///
/// | option | value | default |
/// |---|---|---|
/// | `#[schema(crate = path)]` on the type | path without quotes to typed-events | `::typed_events` |
/// | `#[schema(opaque)]` on a field | its type needs no schema, and its content is neither described nor compared | it needs a schema |
#[proc_macro_derive(Schema, attributes(schema, serde))]
pub fn derive_schema(item: TokenStream) -> TokenStream {
    schema::derive(parse_macro_input!(item as DeriveInput)).into()
}

/// Implements [`EventSet`](https://docs.rs/typed-events/latest/typed_events/trait.EventSet.html) for an enum with a
/// variant for each of several events. Handlers with wildcards take such an enum, and streams yield it.
///
/// Each variant holds one unnamed value: `&'a E`, `Arc<E>` or `E` of an event, `&'a V` or `V` of a view, another
/// set, or `&'a Record` for all other events. Variants are tried in their order, so `&'a Record` comes last. The enum has
/// at most one lifetime and no type parameters.
///
/// # Options
///
/// | option | value | default |
/// |---|---|---|
/// | `#[event_set(crate = path)]` on the enum | path without quotes to typed-events | `::typed_events` |
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
