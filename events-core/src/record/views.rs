//! The views that a record was read as.

use std::any::{Any, TypeId};
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind};
use crate::event::view::View;
use crate::event::{DecodeError, read_json};
use crate::record::Record;
use crate::schema::memory::allocation;

/// Views of one record that were requested, as a linked list.
#[derive(Default)]
pub(crate) struct Views {
    first: OnceLock<Box<ReadView>>,
}

struct ReadView {
    type_id: TypeId,
    view: Result<Box<dyn Any + Send + Sync>, DecodeError>,
    next: Views,
}

impl Views {
    /// Returns the view of type `V`. Reads it on the first request, and then passes the number of bytes that it
    /// takes to `note_bytes`.
    fn get_or_read<V: View>(
        &self,
        read: impl Fn() -> Result<V, DecodeError>,
        note_bytes: impl Fn(usize),
    ) -> Result<Option<&V>, DecodeError> {
        let mut views = self;
        loop {
            let mut size = None;
            let found = views.first.get_or_init(|| {
                let read = read();
                let bytes = read.as_ref().map_or_else(DecodeError::size, |view| {
                    allocation(size_of::<V>()).saturating_add(view.heap_size())
                });
                size = Some(allocation(size_of::<ReadView>()).saturating_add(bytes));
                let view = read.map(|view| Box::new(view) as _);
                Box::new(ReadView { type_id: TypeId::of::<V>(), view, next: Self::default() })
            });
            size.into_iter().for_each(&note_bytes);
            if found.type_id == TypeId::of::<V>() {
                return found.view.as_ref().map(|view| view.downcast_ref()).map_err(Clone::clone);
            }
            views = &found.next;
        }
    }
}

impl Record {
    /// Returns the fields of the event that the [`View`] `V` declares.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unreadable`]: the event has another name, or its JSON can't be decoded as `V`.
    /// - [`ErrorKind::Serialize`]: the event can't be written as JSON.
    pub fn view<V: View>(&self) -> Result<&V, Error> {
        if self.name() != V::NAME {
            let message = format!("{}: the record is not a {}", self.name(), V::NAME);
            return Err(Error::new(ErrorKind::Unreadable, message));
        }
        let json = self.json_of(V::VERSION, V::DECL.map(|decl| decl()))?;
        let read = || read_json::<V>(V::NAME, V::TYPE, &json);
        let view = self.views().get_or_read(read, |bytes| self.grow(bytes));
        let refused = |problem: String| Error::new(ErrorKind::Unreadable, problem);
        view.map_err(|error| refused(error.to_string()))?
            .ok_or_else(|| refused(format!("{}: the view is of another type", V::NAME)))
    }
}
