//! Versions of an event: old records are read as their own type, and made into the current one.

use serde_core::de::DeserializeOwned;

use crate::event::locking::PastLocking;
use crate::event::{DecodeError, read_json};
use crate::schema::{Schema, TypeSchema};
use crate::secret::Secrets;

/// Makes the next version of an event out of the one before.
///
/// An event whose shape changes in a way that its old records can't be read keeps its name and gets a
/// new version. The old shape stays as a type of its own, marked `superseded`: it can't be emitted or
/// handled any more, but records of it are read, and become the current version wherever somebody asks
/// for the event: handlers, [`Record::get`](crate::Record::get), typed histories and streams, and
/// [`EmitJson::version`](crate::EmitJson::version). Versions form a chain: each names the one
/// before it. What an adapter has stored stays as it is, and [`Record::version`](crate::Record::version)
/// says which version that is; old JSON that is emitted is a record of the current version.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), typed_events::Error> {
/// use typed_events::{Bus, Upcast, event};
///
/// #[event("customer.named", version = 1, superseded)]
/// pub struct CustomerNamedV1 { pub name: String }
///
/// #[event("customer.named", version = 2, previous = CustomerNamedV1)]
/// pub struct CustomerNamed { pub first: String, pub last: String }
///
/// impl Upcast<CustomerNamedV1> for CustomerNamed {
///     fn upcast(old: CustomerNamedV1) -> Self {
///         let (first, last) = old.name.split_once(' ').unwrap_or((&old.name, ""));
///         Self { first: first.into(), last: last.into() }
///     }
/// }
///
/// let bus = Bus::new().await?;
/// bus.emit_json("customer.named", r#"{"name": "Ada Lovelace"}"#).version(1).await?;
/// let history = bus.history("customer.named").of::<CustomerNamed>().await?;
/// assert_eq!(history[0].last, "Lovelace");
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be made from `{Old}`, its version before",
    label = "there is no `impl Upcast<{Old}> for {Self}`",
    note = "old records are read as `{Old}` and must become `{Self}`: write `impl Upcast<{Old}> for {Self} {{ fn upcast(old: {Old}) -> Self {{ ... }} }}`"
)]
pub trait Upcast<Old>: Sized {
    /// The event as the newer version says it.
    ///
    /// # Panics
    ///
    /// It should not: old records may hold anything that the old type could. A panic is an error of
    /// whoever reads the record.
    fn upcast(old: Old) -> Self;
}

/// A version of an event that is no longer emitted: what `superseded` makes of a type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a superseded version of an event",
    label = "this can't be the version before",
    note = "add `superseded` to the `#[event]` of `{Self}`, if it is the version before this one"
)]
pub trait PastEvent: Schema + DeserializeOwned {
    /// The name of the event.
    const NAME: &'static str;
    /// Its version.
    const VERSION: u32;
    /// Its shape.
    const SCHEMA: &'static TypeSchema = <Self as Schema>::TYPE;

    #[doc(hidden)]
    const LOCKING: Option<PastLocking> = None;

    /// Reads a record of this version, or of one before it in the chain.
    #[doc(hidden)]
    fn read(version: u32, json: &str) -> Result<Self, DecodeError> {
        match version == Self::VERSION {
            true => read_json(Self::NAME, Self::SCHEMA, json),
            false => Self::older(version, json),
        }
    }

    /// Whether this version or one before it has secrets.
    #[doc(hidden)]
    fn has_secrets() -> bool {
        Self::SCHEMA.secrets() == Secrets::Some || Self::had_secrets()
    }

    #[doc(hidden)]
    fn had_secrets() -> bool {
        false
    }

    #[doc(hidden)]
    fn older(version: u32, _json: &str) -> Result<Self, DecodeError> {
        Err(DecodeError::too_old(Self::NAME, version, Self::VERSION))
    }
}
