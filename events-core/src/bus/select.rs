//! Selects the linked handlers that a bus takes.

use std::ptr;

use crate::bus::handlers::{HandlerDecl, LinkedHandler};
use crate::event::sort_by_location;
use crate::event::suggestions::did_you_mean;
use crate::text::quoted;

/// Maximum number of handlers or modules in one message.
const MAX_NAMED: usize = 50;

/// The calls of a builder that select handlers.
#[derive(Default)]
pub(crate) struct Selection {
    pub(crate) all: bool,
    /// Paths of modules; each includes its submodules.
    pub(crate) modules: Vec<String>,
    pub(crate) single: Vec<&'static HandlerDecl>,
    pub(crate) without: Vec<&'static HandlerDecl>,
    pub(crate) none: bool,
}

/// The selected handlers, and warnings about the selection.
pub(crate) struct Selected {
    /// Each handler once, sorted by location: the linker gives no order, and runs should be repeatable.
    pub(crate) handlers: Vec<&'static HandlerDecl>,
    pub(crate) warnings: Vec<String>,
}

impl Selection {
    pub(crate) fn resolve(&self, problems: &mut Vec<String>) -> Selected {
        let linked = linked();
        let mut warnings = Vec::new();
        let selects = self.all || !self.modules.is_empty() || !self.single.is_empty();
        if self.none && selects {
            problems.push(
                "`.no_handlers()` contradicts the other calls that select handlers: remove it or the others"
                    .into(),
            );
        }
        for path in &self.modules {
            problems.extend(module_problem(path, &linked));
        }
        // `without` as the only call selects all other handlers.
        let all = self.all || !self.without.is_empty() && !selects && !self.none;
        let is_selected = |handler: &HandlerDecl| {
            all || self.modules.iter().any(|path| is_in(module_of(handler), path))
                || contains_handler(&self.single, handler)
        };
        let mut handlers: Vec<_> = linked.iter().copied().filter(|handler| is_selected(handler)).collect();
        for handler in &self.single {
            if !contains_handler(&handlers, handler) {
                handlers.push(handler);
            }
        }
        sort_by_location(&mut handlers, |handler| ("", handler.location));
        for handler in &self.without {
            if contains_handler(&self.single, handler) {
                problems.push(format!(
                    "handler {} is selected by `.handler` and excluded by `.without`: remove one of the two calls",
                    handler.location
                ));
            } else if !contains_handler(&handlers, handler) {
                warnings.push(format!(
                    "`.without` excludes the handler {}, which no other call selects",
                    handler.location
                ));
            }
        }
        handlers.retain(|handler| !contains_handler(&self.without, handler));
        if !selects && !self.none && self.without.is_empty() && !linked.is_empty() {
            warnings.push(nothing_selected_warning(&linked));
        }
        Selected { handlers, warnings }
    }
}

/// Returns the linked handlers, sorted by location.
fn linked() -> Vec<&'static HandlerDecl> {
    let mut linked: Vec<_> =
        inventory::iter::<LinkedHandler>.into_iter().map(|LinkedHandler(decl)| decl()).collect();
    sort_by_location(&mut linked, |handler| ("", handler.location));
    linked.dedup_by(|a, b| ptr::eq(*a, *b));
    linked
}

/// Compares handlers by the addresses of their declarations.
fn contains_handler(handlers: &[&'static HandlerDecl], handler: &HandlerDecl) -> bool {
    handlers.iter().any(|other| ptr::eq(*other, handler))
}

fn module_of(handler: &HandlerDecl) -> &'static str {
    handler.location.item.rsplit_once("::").map_or("", |(module, _)| module)
}

/// Returns true if `module` is the module `path` or inside it.
fn is_in(module: &str, path: &str) -> bool {
    module.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn nothing_selected_warning(linked: &[&'static HandlerDecl]) -> String {
    let locations = linked.iter().map(|handler| handler.location.to_string());
    let named = join_limited(locations.collect());
    format!(
        "this bus takes none of the linked handlers {named}: select them with `.discover()`, `.discover_in(\"a::module\")` or `.handler::<name>()`, or call `.no_handlers()`"
    )
}

/// Joins the texts, at most [`MAX_NAMED`], and adds how many more there are.
fn join_limited(mut texts: Vec<String>) -> String {
    let more = texts.len().saturating_sub(MAX_NAMED);
    texts.truncate(MAX_NAMED);
    match more {
        0 => texts.join(", "),
        more => format!("{} and {more} more", texts.join(", ")),
    }
}

/// Returns the problem of a path that contains no handlers; `None` if it contains one.
fn module_problem(path: &str, linked: &[&'static HandlerDecl]) -> Option<String> {
    if linked.iter().any(|handler| is_in(module_of(handler), path)) && !path.is_empty() {
        return None;
    }
    let shown = quoted(path);
    let problem = format!("`.discover_in(\"{shown}\")`: no handler is in `{shown}`");
    if linked.is_empty() {
        return Some(format!(
            "{problem}, and none is linked at all: a crate of handlers that nothing refers to needs `use my_handlers as _;`"
        ));
    }
    if linked.iter().any(|handler| handler.location.item == path) {
        return Some(format!("{problem}, which is a handler itself: write `.handler::<{shown}>()`"));
    }
    let mut modules: Vec<_> = linked.iter().flat_map(|handler| modules_above(module_of(handler))).collect();
    modules.sort_unstable();
    modules.dedup();
    let end = path.trim_start_matches("crate").trim_start_matches("::");
    let ends_so = |module: &&&str| {
        module.strip_suffix(end).is_some_and(|before| !end.is_empty() && before.ends_with("::"))
    };
    if let Some(module) = modules.iter().find(ends_so) {
        return Some(format!("{problem}: did you mean `{module}`?"));
    }
    let suggestion = did_you_mean(path, modules.iter().copied());
    if !suggestion.is_empty() {
        return Some(problem + &suggestion);
    }
    let mut own: Vec<_> = linked.iter().map(|handler| format!("`{}`", module_of(handler))).collect();
    own.dedup();
    Some(format!("{problem}: handlers are in {}", join_limited(own)))
}

/// Returns a module and all modules that contain it.
fn modules_above(module: &'static str) -> impl Iterator<Item = &'static str> {
    std::iter::successors(Some(module), |module| module.rsplit_once("::").map(|(above, _)| above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_compared_by_whole_segments() {
        for (module, path, expected) in [
            ("shop::web", "shop::web", true),
            ("shop::web::admin", "shop::web", true),
            ("shop::website", "shop::web", false),
            ("shop", "shop::web", false),
            ("shop::web", "web", false),
            ("shop::web", "shop", true),
            ("shop::web", "shop::", false),
            ("shop::web", "sho", false),
        ] {
            assert_eq!(is_in(module, path), expected, "{module} in {path}");
        }
    }
}
