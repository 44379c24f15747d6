//! How an emit begins: the bus refuses it, or counts it and creates the envelope of its record.

use crate::bus::inner::Inner;
use crate::bus::inner::context::Inherited;
use crate::bus::inner::in_flight::{Detached, InFlight};
use crate::error::{Error, ErrorKind};
use crate::id::EventId;
use crate::record::Envelope;
use crate::record::metadata::Metadata;

/// Values that the caller of an emit may set in addition to the event.
#[derive(Default)]
pub(crate) struct EmitOptions {
    pub(crate) metadata: Metadata,
    pub(crate) id: Option<EventId>,
}

impl Inner {
    /// Counts an emit on the current thread, and creates the envelope of its record. The record inherits from
    /// the event that the thread is handling.
    ///
    /// # Errors
    ///
    /// An error if the bus is stopping, too many emits wait for their handlers, or the chain of emits is too
    /// deep.
    pub(crate) fn begin_emit(
        &self,
        name: &str,
        options: Option<Box<EmitOptions>>,
    ) -> Result<(InFlight<'_>, Envelope), Error> {
        let from = Inherited::current();
        let flight = self.count_emit(name, from.as_ref())?;
        let EmitOptions { metadata, id } = options.map(|options| *options).unwrap_or_default();
        Ok((flight, self.envelope(from.as_ref(), metadata, id)))
    }

    /// Counts an emit that was made while the event `from` was handled, or outside of all handlers. The
    /// errors are those of [`begin_emit`](Self::begin_emit).
    pub(crate) fn count_emit(&self, name: &str, from: Option<&Inherited>) -> Result<InFlight<'_>, Error> {
        let nested = from.is_some_and(|from| from.chain.contains_bus(self.instance));
        let flight = self.lifecycle.enter(nested).map_err(|_| {
            let message = format!("{name}: the bus is stopping or stopped; nothing was emitted");
            Error::new(ErrorKind::Stopped, message)
        })?;
        let max = self.settings.max_in_flight;
        match from {
            // Emits inside handlers are not limited separately: the emit around them counts.
            None if self.lifecycle.in_tasks() >= max => {
                let message =
                    format!("{name}: {max} emits are waiting for their handlers; nothing was emitted");
                Err(Error::new(ErrorKind::Overloaded, message))
            }
            Some(from) if from.chain.depth >= self.settings.max_chain => {
                let (max, chain) = (self.settings.max_chain, from.chain.describe(name));
                let message = format!("{name}: emits are nested more than {max} deep: {chain}");
                Err(Error::new(ErrorKind::ChainTooDeep, message))
            }
            _ => Ok(flight),
        }
    }

    /// Counts a detached emit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] if too many detached emits are running.
    pub(crate) fn detach(&self, name: &str) -> Result<Detached, Error> {
        let max = self.settings.max_detached;
        self.lifecycle.detach(max).ok_or_else(|| {
            let message = format!("{name}: {max} detached emits are running already; nothing was emitted");
            Error::new(ErrorKind::Overloaded, message)
        })
    }

    /// Creates the envelope of a record that is emitted while the event `from` is handled.
    pub(crate) fn envelope(
        &self,
        from: Option<&Inherited>,
        mut metadata: Metadata,
        id: Option<EventId>,
    ) -> Envelope {
        if let Some(from) = from {
            from.fill_metadata(&mut metadata);
        }
        let chain = from.map(|from| from.chain.clone()).unwrap_or_default();
        Envelope { metadata, id, chain, ..Envelope::new(self.instance) }
    }
}
