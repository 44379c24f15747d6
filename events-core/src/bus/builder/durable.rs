//! Durable handlers of a bus: closures, checks of `build()`, and starting their tasks.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::{BusBuilder, refused};
use crate::adapter::Adapter;
use crate::adapter::consumer::Consumer;
use crate::adapter::options::{DurableOptions, name_problem};
use crate::bus::durable::orphans::Orphans;
use crate::bus::durable::session::Session;
use crate::bus::durable::start;
use crate::bus::handlers::HandlerDecl;
use crate::bus::handlers::closure::IntoHandler;
use crate::bus::inner::Inner;
use crate::bus::inner::call::Callback;
use crate::bus::inner::durable_handler::DurableHandler;
use crate::bus::inner::routes::name_of_closure;
use crate::error::Error;
use crate::event::declared::DeclaredEvents;
use crate::event::order::{OrderProblem, order_problem};
use crate::event::pattern::Pattern;
use crate::event::suggestions::did_you_mean;
use crate::event::{EventDecl, sort_by_location};
use crate::text::{Text, quoted};
use crate::time::clock::{Clock, TestClock};

/// A durable handler given as a closure.
pub(super) struct DurableClosure {
    durable: DurableOptions,
    pattern: String,
    location: &'static Location<'static>,
    /// The event, if the closure takes events of one type.
    event: Option<fn() -> &'static EventDecl>,
    callback: Callback,
}

impl BusBuilder {
    /// Adds a durable handler as a closure, as `#[on("...", durable = "...")]` does for a function. The
    /// closure takes the same arguments as one that is registered with [`Bus::pattern`](crate::Bus::pattern).
    ///
    /// The adapter must have durable consumers. A pattern that no known event can match is an error of
    /// [`build`](Self::build), as for a function, or a warning with
    /// [`accept_undeclared`](Self::accept_undeclared).
    ///
    /// ```no_run
    /// use typed_events::{Bus, BusBuilder, DurableOptions, Record};
    ///
    /// fn with_audit(builder: BusBuilder) -> BusBuilder {
    ///     builder.durable(DurableOptions::new("audit"), "order.*", |record: &Record| println!("{record}"))
    /// }
    /// ```
    #[track_caller]
    pub fn durable<K, H>(mut self, durable: DurableOptions, pattern: &str, handler: H) -> Self
    where
        H: IntoHandler<K>, // Async: copy first: |record: &Record| { let text = record.to_string(); async move { .. } }.
    {
        let (pattern, location) = (pattern.to_owned(), Location::caller());
        let (event, callback) = (H::EVENT, handler.into_callback());
        self.durable.push(DurableClosure { durable, pattern, location, event, callback });
        self
    }

    /// Sets the lease of durable handlers: if this bus sends no sign of life for this long, for example after a
    /// crash, the events that it was handling are given to other instances, or to the next start of the program.
    /// 30 s by default, at least 300 ms. A bus sends a sign of life every third of its lease.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.max(Duration::from_millis(300));
        self
    }

    /// Takes the time of leases and retries from the runtime's clock, which
    /// [`tokio::time::pause`](https://docs.rs/tokio/latest/tokio/time/fn.pause.html) stops. Used by tests.
    #[doc(hidden)]
    pub fn clock_of_runtime(self) -> Self {
        self.clock(TestClock::start())
    }

    /// Takes the time of leases and retries from a clock for tests.
    #[doc(hidden)]
    pub fn clock(mut self, clock: TestClock) -> Self {
        self.settings.clock = Clock::Test(clock);
        self
    }

    /// Returns the events of closures that take events of one type.
    pub(super) fn events_of_closures(&self) -> impl Iterator<Item = &'static EventDecl> {
        self.durable.iter().filter_map(|closure| closure.event).map(|decl| decl())
    }

    /// Returns the name and the pattern of each closure.
    pub(super) fn patterns_of_closures(&self) -> impl Iterator<Item = (String, &str)> {
        self.durable.iter().map(|closure| (name_of_closure(closure.location), closure.pattern.as_str()))
    }

    /// Splits the handlers into live and durable ones, and creates the consumers of the latter.
    pub(super) fn split_live_and_durable(
        &mut self,
        callbacks: Vec<Callback>,
        declared_events: &Arc<DeclaredEvents>,
    ) -> (Vec<(&'static HandlerDecl, Callback)>, Vec<Arc<DurableHandler>>) {
        let (mut live, mut durable_handlers) = (Vec::new(), Vec::new());
        let consumer = |durable: &DurableOptions, patterns, accepts| Consumer {
            durable: durable.clone(),
            patterns,
            accepts,
            declared_events: Arc::clone(declared_events),
            accepts_undeclared: self.settings.accept_undeclared,
            lease: self.settings.lease,
            codec: self.codec.clone(),
        };
        for (handler, callback) in self.handlers.iter().zip(callbacks) {
            let Some(durable) = &handler.durable else {
                live.push((*handler, callback));
                continue;
            };
            let patterns = handler.patterns.iter().map(|pattern| (*pattern).into()).collect();
            let consumer = consumer(durable, patterns, callback.accepts);
            durable_handlers.push(DurableHandler::new(consumer, handler.location.to_string(), callback));
        }
        for DurableClosure { durable, pattern, location, callback, .. } in std::mem::take(&mut self.durable) {
            let consumer = consumer(&durable, vec![pattern.into()], callback.accepts);
            durable_handlers.push(DurableHandler::new(consumer, name_of_closure(location), callback));
        }
        (live, durable_handlers)
    }

    /// Refuses durable handlers that share a name or whose adapter has no durable consumers, and durable
    /// closures with an invalid name or pattern.
    pub(super) fn check_durable(&self, declared_events: &DeclaredEvents, problems: &mut Vec<String>) {
        let functions = self.handlers.iter().filter_map(|handler| {
            Some((handler.durable.as_ref()?.name(), format!("handler {}", handler.location)))
        });
        let closures =
            self.durable.iter().map(|closure| (closure.durable.name(), name_of_closure(closure.location)));
        let all: Vec<_> = functions.chain(closures).collect();
        let mut by_name: HashMap<&str, &str> = HashMap::new();
        for (name, handler) in &all {
            if let Some(other) = by_name.insert(name, handler) {
                problems.push(format!(
                    "two durable handlers are named `{name}`, and each would get a part of the events: {other} and {handler}"
                ));
            }
        }
        if let Some((name, handler)) = all.first()
            && self.adapter.as_ref().is_none_or(|adapter| adapter.durable().is_none())
        {
            let why = self.adapter.as_ref().map_or_else(
                || "but this bus has no adapter".to_owned(),
                |adapter| format!("but the adapter {} has no durable consumers", adapter.name()),
            );
            problems.push(format!(
                "{handler} is durable (`{name}`), {why}: add one that has durable consumers, such as `.adapter(Sqlite::at(\"events.db\"))`, or `.adapter(InMemory::new())`, which loses its events when the process ends"
            ));
        }
        for closure in &self.durable {
            problems.extend(closure.problem());
        }
        self.check_order(declared_events, problems);
    }

    /// Refuses durable closures that are ordered by a field which one of their events does not have, or which
    /// can't be a key.
    fn check_order(&self, declared_events: &DeclaredEvents, problems: &mut Vec<String>) {
        for closure in &self.durable {
            let (Some(field), Ok(pattern)) = (closure.durable.is_ordered(), Pattern::new(&closure.pattern))
            else {
                continue;
            };
            let mut taken: Vec<_> =
                declared_events.decls().filter(|decl| pattern.matches(decl.name)).collect();
            sort_by_location(&mut taken, |decl| (decl.name, decl.location));
            problems.extend(taken.into_iter().filter_map(|decl| {
                let problem = order_problem(decl.schema, field)?;
                let name = quoted(closure.durable.name());
                let ordered = Text::EMPTY.push("durable handler `").push(&name).push("` is ordered by `");
                let text = problem.describe(ordered.quote(field), decl.schema, decl.name);
                let meant = match problem {
                    OrderProblem::Missing(fields) => {
                        let shown = fields.iter().filter(|field| !field.is_hidden());
                        did_you_mean(field, shown.filter_map(|field| field.written))
                    }
                    _ => String::new(),
                };
                Some(format!("{}: {}{meant}", name_of_closure(closure.location), text.as_str()))
            }));
        }
    }
}

impl DurableClosure {
    fn problem(&self) -> Option<String> {
        let (pattern, location, name) =
            (quoted(&self.pattern), name_of_closure(self.location), quoted(self.durable.name()));
        if let Some(problem) = name_problem(self.durable.name()) {
            return Some(format!("{location}: `{name}` can't name a durable handler: {problem}"));
        }
        if let Err(error) = Pattern::new(&self.pattern) {
            return Some(format!("{location}: `{pattern}` is not a pattern: {error}"));
        }
        let event = self.event?();
        if event.name != self.pattern {
            return Some(format!("{location}: the closure takes `{}`, not `{pattern}`", event.name));
        }
        None
    }
}

impl Inner {
    /// Opens the consumers and starts the tasks of their handlers.
    pub(super) async fn start_consumers(self: &Arc<Self>, adapter: &Arc<dyn Adapter>) -> Result<(), Error> {
        let Some(durable) = adapter.durable() else { return Ok(()) };
        let (mut orphans, stored) = Orphans::list(self, durable).await;
        if !self.durable_handlers.is_empty() {
            let session = Session::new(self, adapter);
            session
                .open(&self.durable_handlers)
                .await
                .map_err(|(name, error)| refused(&**adapter, &format!("open the consumer {name}"), &error))?;
            let started = start(self, &session).await;
            started.map_err(|error| refused(&**adapter, "read its log", &error))?;
            let _ = self.session.set(session);
        }
        orphans.report_at_build(self, durable, &stored).await;
        orphans.spawn(self, adapter);
        Ok(())
    }
}
