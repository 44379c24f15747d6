//! Versions of an event. Old records are decoded as their own type and converted to the current one.

use serde_core::de::DeserializeOwned;

use crate::event::locking::PastLocking;
use crate::event::{DecodeError, read_json};
use crate::schema::{Schema, TypeSchema};
use crate::secret::Secrets;

/// Converts an event from one version to the next.
///
/// If the schema of an event changes so that old records can't be read, the event keeps its name and gets a
/// new version. The old schema stays as a separate type marked `superseded`, which can't be emitted or
/// handled. Old records are decoded as that type and then converted to the current version. This applies to
/// handlers, [`Record::get`](crate::Record::get), typed histories and streams, and
/// [`EmitJson::version`](crate::EmitJson::version). Versions form a chain: each names its
/// predecessor.
///
/// Records stored by an adapter are not rewritten; [`Record::version`](crate::Record::version) returns the
/// stored version. If JSON of an old version is emitted, the record is of the current version.
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
    message = "`{Self}` can't be upcast from `{Old}`, its previous version",
    label = "there is no `impl Upcast<{Old}> for {Self}`",
    note = "old records are read as `{Old}` and converted to `{Self}`: write `impl Upcast<{Old}> for {Self} {{ fn upcast(old: {Old}) -> Self {{ ... }} }}`"
)]
pub trait Upcast<Old>: Sized {
    /// Converts an event of the previous version.
    ///
    /// # Panics
    ///
    /// Implementations should not panic: an old record may contain any value that the old type allows. If it
    /// panics, decoding the record fails with an error.
    fn upcast(old: Old) -> Self;
}

/// A superseded version of an event, which is decoded but no longer emitted. `#[event(.., superseded)]`
/// implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a superseded version of an event",
    label = "this can't be the previous version",
    note = "add `superseded` to the `#[event]` of `{Self}`, if it is the previous version"
)]
pub trait PastEvent: Schema + DeserializeOwned {
    /// Name of the event.
    const NAME: &'static str;
    /// This version.
    const VERSION: u32;
    /// Schema of this version.
    const SCHEMA: &'static TypeSchema = <Self as Schema>::TYPE;

    #[doc(hidden)]
    const LOCKING: Option<PastLocking> = None;

    /// Decodes a record of this version or of an earlier one in the chain.
    #[doc(hidden)]
    fn read(version: u32, json: &str) -> Result<Self, DecodeError> {
        match version == Self::VERSION {
            true => read_json(Self::NAME, Self::SCHEMA, json),
            false => Self::decode_older(version, json),
        }
    }

    /// Whether this version or an earlier one has secret fields.
    #[doc(hidden)]
    fn has_secrets() -> bool {
        Self::SCHEMA.secrets() == Secrets::Some || Self::had_secrets()
    }

    #[doc(hidden)]
    fn had_secrets() -> bool {
        false
    }

    #[doc(hidden)]
    fn decode_older(version: u32, _json: &str) -> Result<Self, DecodeError> {
        Err(DecodeError::too_old(Self::NAME, version, Self::VERSION))
    }
}
