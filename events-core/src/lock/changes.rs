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
pub(super) struct UsedReasons {
    /// Reasons of the current version.
    pub(super) current: Vec<Change>,
    /// Reasons of earlier versions, by version number.
    pub(super) past: Vec<(u32, Vec<Change>)>,
}

/// Compares all versions of an event with the lock. Returns a message for the first change that is not
/// permitted.
pub(super) fn check_changes(decl: &EventDecl, locking: &Locking) -> Result<UsedReasons, String> {
    let mut reasons = UsedReasons::default();
    let mut previous = locking.previous;
    while let Some(past) = previous {
        if let Some(locked) = Locked::past(decl.name, past) {
            let used =
                used_reasons(&locked, past.schema, past.changed, check_changed_field, check_changed_rest)?;
            reasons.past.push((past.version, used));
        }
        previous = past.previous;
    }
    reasons.current = match (Locked::of(decl.name, decl.version, decl.schema, locking), locking.previous) {
        (Some(locked), _) => {
            let rest = |locked: &Locked| locked.check_promise().and_then(|()| check_changed_rest(locked));
            used_reasons(&locked, decl.schema, locking.changed, check_changed_field, rest)?
        }
        (None, Some(previous)) => reasons_of_new_version(decl, locking, previous)?,
        (None, None) => refuse_first_reasons(decl, locking)?,
    };
    let locked = locking.file.and_then(|file| file.version);
    if !locked.is_some_and(|locked| decl.schema.is_same(locked.schema)) {
        check_comparable(decl)?;
    }
    Ok(reasons)
}

/// Refuses a schema that is nested too deeply to be compared.
fn check_comparable(decl: &EventDecl) -> Result<(), String> {
    let problem = match Locked::check_comparable(decl.schema) {
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
fn check_changed_field(locked: &Locked, field: &'static str) -> Result<(), Problem> {
    if locked.is_unchanged() { Ok(()) } else { locked.check_field(field) }
}

/// Checks everything that belongs to no field, unless the schema is unchanged.
fn check_changed_rest(locked: &Locked) -> Result<(), Problem> {
    if locked.is_unchanged() { Ok(()) } else { locked.check_rest() }
}

/// Returns the reasons of a new version. A new version needs a reason only for a field that is no longer secret.
fn reasons_of_new_version(
    decl: &EventDecl,
    locking: &Locking,
    previous: &PastLocking,
) -> Result<Vec<Change>, String> {
    let before = Locked::new_version(decl.name, decl.version, decl.schema, locking.changed, previous.schema);
    used_reasons(
        &before,
        decl.schema,
        locking.changed,
        |locked, field| locked.check_secrets(Some(field)),
        |locked| locked.check_secrets(None),
    )
}

/// Refuses reasons on an event that is locked for the first time, because it changes nothing.
fn refuse_first_reasons(decl: &EventDecl, locking: &Locking) -> Result<Vec<Change>, String> {
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
fn used_reasons(
    locked: &Locked,
    schema: &'static TypeSchema,
    changed: &[Change],
    check_field: impl Fn(&Locked, &'static str) -> Result<(), Problem>,
    check_rest: impl Fn(&Locked) -> Result<(), Problem>,
) -> Result<Vec<Change>, String> {
    let fields = compared_fields(schema).into_iter().flat_map(|schema| schema.fields);
    let names = fields.filter_map(|field| field.written.or(field.read));
    let mut used = Vec::new();
    for field in names.chain([""]) {
        let verdict = if field.is_empty() { check_rest(locked) } else { check_field(locked, field) };
        let reason = changed.iter().find(|change| change.field == field);
        match (verdict, reason) {
            (Err(problem), Some(reason)) if locked.is_permitted_by_reason(field, &problem) => {
                used.push(*reason)
            }
            (Err(problem), _) => return Err(locked.describe(field, &problem).as_str().to_owned()),
            (Ok(()), Some(Change { reason, .. })) if !locked.is_used_before(reason) => {
                return Err(locked.describe_unneeded_reason(reason).as_str().to_owned());
            }
            (Ok(()), _) => {}
        }
    }
    Ok(used)
}

/// The fields of a declaration that are checked one by one.
fn compared_fields(schema: &'static TypeSchema) -> Option<&'static StructSchema> {
    match schema {
        TypeSchema::Named(named) if has_fields(schema) => match named.get().shape {
            TypeSchema::Struct(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}
