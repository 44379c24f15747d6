//! Compares a declaration with its locked versions, and finds the given reasons that permit its changes, or the
//! first change that none permits.

#![allow(
    clippy::result_large_err,
    reason = "the checks are shared with constants, which can't box a schema mismatch"
)]
use crate::event::EventDecl;
use crate::event::locking::{Change, Locking, PastLocking};
use crate::lock::check::{Locked, Problem, has_fields};
use crate::schema::{StructSchema, TypeSchema};

/// The reasons, given in a declaration, that its changes needed.
#[derive(Default)]
pub(super) struct Step {
    /// Reasons of the current version.
    pub(super) current: Vec<Change>,
    /// Reasons of earlier versions, by version number.
    pub(super) past: Vec<(u32, Vec<Change>)>,
}

/// Compares all versions of an event with the lock. Returns a message for the first change that is not
/// permitted.
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

/// Refuses a schema that is nested too deeply to be compared.
fn comparable(decl: &EventDecl) -> Result<(), String> {
    let problem = match Locked::comparable(decl.schema) {
        Ok(()) => return Ok(()),
        Err(Some(mismatch)) => mismatch.to_string(),
        Err(None) => "its schema is nested too deeply to be compared".to_owned(),
    };
    Err(format!(
        "`{}` can't be locked: {problem}; reduce the nesting, or mark a field `#[event(opaque)]`, so that the field is not compared",
        decl.name
    ))
}

/// Checks a field, unless the schema is unchanged.
fn changed_field(locked: &Locked, field: &'static str) -> Result<(), Problem> {
    if locked.is_unchanged() { Ok(()) } else { locked.field(field) }
}

/// Checks everything that belongs to no field, unless the schema is unchanged.
fn changed_rest(locked: &Locked) -> Result<(), Problem> {
    if locked.is_unchanged() { Ok(()) } else { locked.rest() }
}

/// Returns the reasons of a new version. A new version needs a reason only for a field that is no longer secret.
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

/// Refuses reasons on an event that is locked for the first time, because it changes nothing.
fn idle(decl: &EventDecl, locking: &Locking) -> Result<Vec<Change>, String> {
    match locking.changed {
        [] => Ok(Vec::new()),
        [Change { reason, .. }, ..] => Err(format!(
            "`{}` is locked for the first time, so no change needs a reason: remove `changed = {reason:?}`",
            decl.name
        )),
    }
}

/// Returns the reasons of a version that permit a change. Fails for a change without a reason, and for a
/// reason without a change.
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
