//! Views: what a consumer needs of another crate's event, read from the event as it is written.
use std::any::{Any, TypeId};
use std::sync::OnceLock;

use serde_core::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};
use crate::event::{DecodeError, EventDecl, read_json};
use crate::record::Record;
use crate::schema::Schema;
use crate::schema::memory::allocation;

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

/// The views of one record that somebody asked for.
#[derive(Default)]
pub(crate) struct Views {
    first: OnceLock<Box<Seen>>,
}

struct Seen {
    of: TypeId,
    view: Result<Box<dyn Any + Send + Sync>, DecodeError>,
    others: Views,
}

impl Views {
    /// Tells `keeps` how many bytes are kept from now on.
    fn get_or_read<V: View>(
        &self,
        read: impl Fn() -> Result<V, DecodeError>,
        keeps: impl Fn(usize),
    ) -> Result<Option<&V>, DecodeError> {
        let mut views = self;
        loop {
            let mut size = None;
            let seen = views.first.get_or_init(|| {
                let read = read();
                let held = read.as_ref().map_or_else(DecodeError::size, |view| {
                    allocation(size_of::<V>()).saturating_add(view.heap_size())
                });
                size = Some(allocation(size_of::<Seen>()).saturating_add(held));
                let view = read.map(|view| Box::new(view) as _);
                Box::new(Seen { of: TypeId::of::<V>(), view, others: Self::default() })
            });
            size.into_iter().for_each(&keeps);
            if seen.of == TypeId::of::<V>() {
                return seen.view.as_ref().map(|view| view.downcast_ref()).map_err(Clone::clone);
            }
            views = &seen.others;
        }
    }
}

impl Record {
    /// The part of the event that a [`View`] declares.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Payload`] for an event of another name, or with JSON that does not fit.
    pub fn view<V: View>(&self) -> Result<&V, Error> {
        if self.name() != V::NAME {
            let message = format!("{}: the record is not a {}", self.name(), V::NAME);
            return Err(Error::new(ErrorKind::Payload, message));
        }
        let json = self.json_of(V::VERSION, V::OF.map(|of| of()))?;
        let read = || read_json::<V>(V::NAME, V::TYPE, &json);
        let view = self.views().get_or_read(read, |bytes| self.grow(bytes));
        let refused = |problem: String| Error::new(ErrorKind::Payload, problem);
        view.map_err(|error| refused(error.to_string()))?
            .ok_or_else(|| refused(format!("{}: the view is of another type", V::NAME)))
    }
}
