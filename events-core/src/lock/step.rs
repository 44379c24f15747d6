//! The step from what is locked to what is declared: whether it may be taken, and with which reasons.

#![allow(
    clippy::result_large_err,
    reason = "the checks are shared with constants, which can't put a misfit in a box"
)]
use crate::event::EventDecl;
use crate::event::locking::{Change, Locking, PastLocking};
use crate::lock::check::{Locked, Problem, has_fields};
use crate::schema::{StructSchema, TypeSchema};

/// The changes of a declaration that a reason of their own excuses.
#[derive(Default)]
pub(super) struct Step {
    /// Those of the current version.
    pub(super) current: Vec<Change>,
    /// Those of the versions before, by their numbers.
    pub(super) past: Vec<(u32, Vec<Change>)>,
}

/// The step of an event, or how it breaks the lock.
pub(super) fn of(decl: &EventDecl, locking: &Locking) -> Result<Step, String> {
    let mut step = Step::default();
    let mut previous = locking.previous;
    while let Some(past) = previous {
        if let Some(locked) = Locked::past(decl.name, past) {
            let excused = excused(&locked, past.schema, past.changed, changed_field, changed_rest)?;
            step.past.push((past.version, excused));
        }
        previous = past.previous;
    }
    step.current = match (Locked::of(decl.name, decl.version, decl.schema, locking), locking.previous) {
        (Some(locked), _) => {
            let rest = |locked: &Locked| locked.promised().and_then(|()| changed_rest(locked));
            excused(&locked, decl.schema, locking.changed, changed_field, rest)?
        }
        (None, Some(previous)) => successor(decl, locking, previous)?,
        (None, None) => idle(decl, locking)?,
    };
    let locked = locking.file.and_then(|file| file.version);
    if !locked.is_some_and(|locked| decl.schema.is_same(locked.schema)) {
        comparable(decl)?;
    }
    Ok(step)
}

/// Refuses a type that could not be compared with what is written of it.
fn comparable(decl: &EventDecl) -> Result<(), String> {
    let problem = match Locked::comparable(decl.schema) {
        Ok(()) => return Ok(()),
        Err(Some(misfit)) => misfit.to_string(),
        Err(None) => "it is nested deeper than what is compared".to_owned(),
    };
    Err(format!(
        "`{}` can't be locked: {problem}; nest it less, or mark a field `#[event(opaque)]`, which is then not compared",
        decl.name
    ))
}

/// Checks a field, where something has changed at all.
fn changed_field(locked: &Locked, field: &'static str) -> Result<(), Problem> {
    if locked.is_unchanged() { Ok(()) } else { locked.field(field) }
}

/// Checks what no field stands for, where something has changed at all.
fn changed_rest(locked: &Locked) -> Result<(), Problem> {
    if locked.is_unchanged() { Ok(()) } else { locked.rest() }
}

/// The reasons of a new version, which may show what the one before it kept secret.
fn successor(decl: &EventDecl, locking: &Locking, previous: &PastLocking) -> Result<Vec<Change>, String> {
    let before = Locked::successor(decl.name, decl.version, decl.schema, locking.changed, previous.schema);
    excused(
        &before,
        decl.schema,
        locking.changed,
        |locked, field| locked.secrets(Some(field)),
        |locked| locked.secrets(None),
    )
}

/// A version that nothing is known of before needs no reasons.
fn idle(decl: &EventDecl, locking: &Locking) -> Result<Vec<Change>, String> {
    match locking.changed {
        [] => Ok(Vec::new()),
        [Change { reason, .. }, ..] => Err(format!(
            "`{}` is locked for the first time, and nothing has changed that needs a reason: take `changed = {reason:?}` away",
            decl.name
        )),
    }
}

/// The changes that a version has a reason for.
fn excused(
    locked: &Locked,
    schema: &'static TypeSchema,
    changed: &[Change],
    of_field: impl Fn(&Locked, &'static str) -> Result<(), Problem>,
    of_rest: impl Fn(&Locked) -> Result<(), Problem>,
) -> Result<Vec<Change>, String> {
    let fields = fields(schema).into_iter().flat_map(|schema| schema.fields);
    let names = fields.filter_map(|field| field.written.or(field.read));
    let mut excused = Vec::new();
    for field in names.chain([""]) {
        let verdict = if field.is_empty() { of_rest(locked) } else { of_field(locked, field) };
        let reason = changed.iter().find(|change| change.field == field);
        match (verdict, reason) {
            (Err(problem), Some(reason)) if locked.is_excused(field, &problem) => excused.push(*reason),
            (Err(problem), _) => return Err(locked.describe(field, &problem).as_str().to_owned()),
            (Ok(()), Some(Change { reason, .. })) if !locked.is_spent(reason) => {
                return Err(locked.idle(reason).as_str().to_owned());
            }
            (Ok(()), _) => {}
        }
    }
    Ok(excused)
}

/// The fields of a declaration that are checked one by one.
fn fields(schema: &'static TypeSchema) -> Option<&'static StructSchema> {
    match schema {
        TypeSchema::Named(named) if has_fields(schema) => match named.get().shape {
            TypeSchema::Struct(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}
