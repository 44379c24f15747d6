//! Checks of an event against its lock file. They are evaluated in constants and when the lock is written.

#![allow(clippy::panic, reason = "a panic in a constant is a compiler error")]
#![allow(clippy::result_large_err, reason = "a constant can't box a schema mismatch")]
use crate::event::accepted::AcceptedEvents;
use crate::event::locking::{Change, Compatibility, Locking, PastLocking};
use crate::event::pattern::{Pattern, is_of_library};
use crate::schema::{
    CheckedPart, FieldSchema, Promise, SchemaMismatch, StructSchema, TypeSchema, Within, as_read,
    count_non_structs, flattened, non_struct_for, same,
};
use crate::text::Text;

/// Whether a struct writes a field of this name that is not flattened.
const fn is_own(schema: &StructSchema, name: &str) -> bool {
    let mut i = 0;
    while i < schema.fields.len() {
        if let Some(written) = schema.fields[i].written
            && !schema.fields[i].flatten
            && same(written, name)
        {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether the lock is being written. Nothing is checked then.
pub const fn is_writing(env: Option<&str>) -> bool {
    match env {
        Some(value) => same(value, crate::lock::WRITE),
        None => false,
    }
}

/// One version of an event: as declared, and as locked in its file.
#[derive(Clone, Copy)]
pub struct Locked {
    event: &'static str,
    version: u32,
    compatibility: Compatibility,
    /// The locked compatibility.
    promised: Compatibility,
    /// Whether the version is superseded.
    past: bool,
    /// Reserved names: those of the declaration, and those of the file.
    reserved: [&'static [&'static str]; 2],
    /// Reasons for changes: those of the declaration, and those of the file.
    changed: [&'static [Change]; 2],
    now: &'static TypeSchema,
    locked: &'static TypeSchema,
}

/// A change that the lock does not permit.
pub(super) enum Problem {
    /// The declaration promises less compatibility than the lock.
    Weaker { promised: Compatibility, now: Compatibility },
    /// A change for which the schema does not show whether values are still read as they were.
    Drift(SchemaMismatch),
    /// The declared type can't read records of the locked type.
    Old(SchemaMismatch),
    /// The declared type requires a field that was not written. The field with the contained name was
    /// removed, so it may have been renamed.
    Renamed(SchemaMismatch, &'static str),
    /// The locked type can't read records of the declared type.
    New(SchemaMismatch),
    /// A field was removed.
    Gone(&'static str),
    /// A field has a reserved name.
    Reserved(&'static str),
    /// A new field that old programs refuse, because they deny unknown fields.
    Denied(&'static str),
}

type Verdict = Result<(), Problem>;

impl Locked {
    /// The current version of a declaration; `None` if the file does not contain that version.
    pub const fn of(
        event: &'static str,
        version: u32,
        now: &'static TypeSchema,
        locking: &Locking,
    ) -> Option<Self> {
        let Some(file) = locking.file else { return None };
        let Some(locked) = file.version else { return None };
        Some(Self {
            event,
            version,
            compatibility: locking.compatibility,
            promised: file.compatibility,
            past: false,
            reserved: [locking.reserved, file.reserved],
            changed: [locking.changed, locked.changed],
            now,
            locked: locked.schema,
        })
    }

    /// A superseded version; `None` if the file does not contain it.
    pub const fn past(event: &'static str, locking: &PastLocking) -> Option<Self> {
        let Some(locked) = locking.locked else { return None };
        Some(Self {
            event,
            version: locking.version,
            compatibility: Compatibility::Backward,
            promised: Compatibility::Backward,
            past: true,
            reserved: [&[], &[]],
            changed: [locking.changed, locked.changed],
            now: locking.schema,
            locked: locked.schema,
        })
    }

    /// A version that is not locked yet, compared with its previous version, so that secret fields stay
    /// secret.
    pub(super) const fn new_version(
        event: &'static str,
        version: u32,
        now: &'static TypeSchema,
        changed: &'static [Change],
        before: &'static TypeSchema,
    ) -> Self {
        Self {
            event,
            version,
            compatibility: Compatibility::Full,
            promised: Compatibility::Full,
            past: false,
            reserved: [&[], &[]],
            changed: [changed, &[]],
            now,
            locked: before,
        }
    }

    /// Whether the declared schema equals the locked one, so that there is nothing to check.
    pub const fn is_unchanged(&self) -> bool {
        self.now.is_same(self.locked)
    }

    /// Checks that a declared schema can be compared with itself. The lock refuses other types, because their
    /// next check would fail without a change. The error is `None` if the schema is nested too deeply.
    pub(super) const fn check_comparable(now: &'static TypeSchema) -> Result<(), Option<SchemaMismatch>> {
        const ALL: Promise = Promise { reads_old: true, read_by_old: true, keeps_secrets: true };
        if let Err(mismatch) = now.can_read(now)
            && mismatch.is_undecided()
        {
            return Err(Some(mismatch));
        }
        if let Err(mismatch) = now.drift(CheckedPart::All, now, ALL)
            && mismatch.is_undecided()
        {
            return Err(Some(mismatch));
        }
        if now.is_same(now) { Ok(()) } else { Err(None) }
    }

    const fn declared_promise(&self) -> Promise {
        Promise {
            reads_old: self.compatibility.reads_old(),
            read_by_old: self.compatibility.is_read_by_old(),
            keeps_secrets: true,
        }
    }

    const fn drift(&self, part: CheckedPart) -> Verdict {
        match self.now.drift(part, self.locked, self.declared_promise()) {
            Ok(()) => Ok(()),
            Err(mismatch) => Err(Problem::Drift(mismatch)),
        }
    }

    /// Checks only that secrets are still secret: those of one field, or of everything that belongs to no
    /// field.
    pub(super) const fn check_secrets(&self, field: Option<&'static str>) -> Verdict {
        let part = match field {
            Some(name) => CheckedPart::Field(name),
            None if has_fields(self.now) => CheckedPart::Rest,
            None => CheckedPart::All,
        };
        let promise = Promise { reads_old: false, read_by_old: false, keeps_secrets: true };
        match self.now.drift(part, self.locked, promise) {
            Ok(()) => Ok(()),
            Err(mismatch) => Err(Problem::Drift(mismatch)),
        }
    }

    /// Checks that the declaration promises at least the locked compatibility.
    pub(super) const fn check_promise(&self) -> Verdict {
        let (promised, now) = (self.promised, self.compatibility);
        match promised.reads_old() && !now.reads_old() || promised.is_read_by_old() && !now.is_read_by_old() {
            true => Err(Problem::Weaker { promised, now }),
            false => Ok(()),
        }
    }

    /// Checks one field, given by the name it is written under, or read under if it is not written.
    pub(super) const fn check_field(&self, name: &'static str) -> Verdict {
        let (TypeSchema::Struct(now), TypeSchema::Struct(locked)) = (as_read(self.now), as_read(self.locked))
        else {
            // At least one of the two is not a struct: `check_rest` compares them as a whole.
            return Ok(());
        };
        if let Some(name) = self.reserved_among(now, Some(name)) {
            return Err(Problem::Reserved(name));
        }
        if is_same_field(now, locked, name) {
            return Ok(());
        }
        if self.compatibility.reads_old()
            && let Some(Some(read)) = name_read(now, name)
            && let Err(mismatch) = self.now.can_read_field(read, self.locked)
        {
            return match first_gone(locked, now) {
                Some(gone) if mismatch.is_missing_field() => Err(Problem::Renamed(mismatch, gone)),
                _ => Err(Problem::Old(mismatch)),
            };
        }
        if self.compatibility.is_read_by_old() {
            match name_read(locked, name) {
                Some(Some(read)) => {
                    if let Err(mismatch) = self.locked.can_read_field(read, self.now) {
                        return Err(Problem::New(mismatch));
                    }
                }
                None if locked.deny_unknown => return Err(Problem::Denied(name)),
                _ => {}
            }
        }
        self.drift(CheckedPart::Field(name))
    }

    /// Checks everything that [`check_field`](Self::check_field) does not: removed fields, or the whole type if the
    /// declaration has no named fields.
    pub(super) const fn check_rest(&self) -> Verdict {
        let (TypeSchema::Struct(now), TypeSchema::Struct(locked)) = (as_read(self.now), as_read(self.locked))
        else {
            return self.whole();
        };
        if !has_fields(self.now) {
            let mut i = 0;
            while i < now.fields.len() {
                if let (Some(name), _) | (None, Some(name)) = (now.fields[i].written, now.fields[i].read)
                    && let refused @ Err(_) = self.check_field(name)
                {
                    return refused;
                }
                i += 1;
            }
        }
        let mut i = 0;
        while i < locked.fields.len() {
            let field = &locked.fields[i];
            i += 1;
            let name = match (field.written, field.read) {
                (Some(name), _) | (None, Some(name)) => name,
                (None, None) => continue,
            };
            if self.compatibility.is_read_by_old()
                && !is_written(now, name)
                && let Some(read) = field.read
                && let Err(mismatch) = self.locked.can_read_field(read, self.now)
            {
                return Err(Problem::New(mismatch));
            }
        }
        if let refused @ Err(_) =
            self.drift(if has_fields(self.now) { CheckedPart::Rest } else { CheckedPart::All })
        {
            return refused;
        }
        if let Some(name) = self.removed_name(locked, now, Within { root: locked, non_structs_before: 0 }) {
            return Err(Problem::Gone(name));
        }
        if self.compatibility.reads_old()
            && let Err(mismatch) = self.now.can_ignore_rest(self.locked)
        {
            return Err(Problem::Old(mismatch));
        }
        match self.locked.can_ignore_rest(self.now) {
            Err(mismatch) if self.compatibility.is_read_by_old() => match mismatch.unknown_field() {
                // `field` checks it.
                Some(name) if is_own(now, name) => Ok(()),
                _ => Err(Problem::New(mismatch)),
            },
            _ => Ok(()),
        }
    }

    /// Returns the first name that was written, is no longer known, and is not reserved by the declaration.
    /// The entries of a flattened field that is not a struct have no common name in the JSON. Such a field
    /// goes by its name in the source code.
    const fn removed_name(
        &self,
        locked: &'static StructSchema,
        now: &'static StructSchema,
        within: Within,
    ) -> Option<&'static str> {
        let mut within = within;
        let mut i = 0;
        while i < locked.fields.len() {
            let field = &locked.fields[i];
            i += 1;
            if let Some(inner) = flattened(field) {
                if let Some(name) = self.removed_name(inner, now, within) {
                    return Some(name);
                }
                within.non_structs_before += count_non_structs(inner);
                continue;
            }
            let is_gone = match field.flatten {
                true => !keeps_entries(now, field, within) && !has_name(self.reserved[1], field.written),
                false => match field.written {
                    Some(name) => name_read(now, name).is_none(),
                    None => false,
                },
            };
            within.non_structs_before += field.flatten as usize;
            if let Some(name) = field.written
                && is_gone
                && !has(self.reserved[0], name)
            {
                return Some(name);
            }
        }
        None
    }

    /// Returns the first reserved name that is a name of a field, an alias, or a name in a flattened struct. `only`
    /// restricts the check to one field, given by the name it is written or read under.
    const fn reserved_among(&self, now: &StructSchema, only: Option<&str>) -> Option<&'static str> {
        let mut i = 0;
        while i < now.fields.len() {
            let field = &now.fields[i];
            i += 1;
            let is_meant = match (only, field.written, field.read) {
                (None, ..) => true,
                (Some(only), Some(name), _) | (Some(only), None, Some(name)) => same(only, name),
                (Some(_), None, None) => false,
            };
            if !is_meant {
                continue;
            }
            if let Some(inner) = flattened(field) {
                if let Some(name) = self.reserved_among(inner, None) {
                    return Some(name);
                }
                continue;
            }
            let mut k = 0;
            while k < field.aliases.len() + 2 {
                let name = match k {
                    0 => field.written,
                    1 => field.read,
                    _ => Some(field.aliases[k - 2]),
                };
                k += 1;
                if let Some(name) = name
                    && (has(self.reserved[0], name) || has(self.reserved[1], name))
                {
                    return Some(name);
                }
            }
        }
        None
    }

    /// Checks a type that is not a struct with named fields, or was not one when it was locked.
    const fn whole(&self) -> Verdict {
        if self.compatibility.reads_old()
            && let Err(mismatch) = self.now.can_read(self.locked)
        {
            return Err(Problem::Old(mismatch));
        }
        if self.compatibility.is_read_by_old()
            && let Err(mismatch) = self.locked.can_read(self.now)
        {
            return Err(Problem::New(mismatch));
        }
        self.drift(CheckedPart::All)
    }

    /// Returns the declared reason for a change of a field, or of the rest if `field` is empty.
    const fn reason(&self, field: &str) -> Option<&'static str> {
        let mut i = 0;
        while i < self.changed[0].len() {
            if same(self.changed[0][i].field, field) {
                return Some(self.changed[0][i].reason);
            }
            i += 1;
        }
        None
    }

    /// Returns an error message if the declaration gives a reason that no change needs.
    pub(super) const fn unneeded_reason(&self, field: &'static str) -> Option<Text> {
        let Some(reason) = self.reason(field) else { return None };
        let is_needed = self.is_used_before(reason)
            || match field.is_empty() {
                true => self.check_promise().is_err() || !self.is_unchanged() && self.check_rest().is_err(),
                false => !self.is_unchanged() && self.check_field(field).is_err(),
            };
        if is_needed {
            return None;
        }
        Some(self.describe_unneeded_reason(reason))
    }

    pub(super) const fn describe_unneeded_reason(&self, reason: &str) -> Text {
        let text = Text::EMPTY.push("`").push(self.event).push("` (version ").number(self.version as usize);
        let text =
            text.push(") has not changed in a way that needs a reason: remove `changed = \"").quote(reason);
        text.push("\"`, because it would permit the next change")
    }

    /// Whether the file already contains the reason, for an earlier change.
    pub(super) const fn is_used_before(&self, reason: &str) -> bool {
        let mut i = 0;
        while i < self.changed[1].len() {
            if same(self.changed[1][i].reason, reason) {
                return true;
            }
            i += 1;
        }
        false
    }

    /// Whether the declaration gives a new reason for the problem. No reason permits the use of a reserved
    /// name.
    pub(super) const fn is_permitted_by_reason(&self, field: &str, problem: &Problem) -> bool {
        match self.reason(field) {
            Some(reason) => !matches!(problem, Problem::Reserved(_)) && !self.is_used_before(reason),
            None => false,
        }
    }

    /// Returns the error message for a problem of a field, or of the rest if `field` is empty.
    pub(super) const fn describe(&self, field: &str, problem: &Problem) -> Text {
        let text = self.describe_problem(field, problem);
        match self.reason(field) {
            Some(reason) if self.is_used_before(reason) => {
                text.push(". The given reason belongs to an earlier change: give this change another reason")
            }
            _ => text,
        }
    }

    /// Appends how to resolve a change that may be intended.
    const fn ask_for_reason(&self, text: Text, field: &str) -> Text {
        let text = match self.past {
            true => text.push("restore it, or give a reason: "),
            false => {
                let text = text.push("restore it, declare `version = ").number(self.version as usize + 1);
                text.push("`, or give a reason: ")
            }
        };
        match field.is_empty() {
            true => text.push("`changed = \"...\"` after the event's name"),
            false => text.push("`#[event(changed = \"...\")]` on the field"),
        }
    }

    const fn describe_problem(&self, field: &str, problem: &Problem) -> Text {
        let text = Text::EMPTY.push("`").push(self.event).push("` breaks its lock (version ");
        let text = text.number(self.version as usize).push("): ");
        match problem {
            Problem::Weaker { promised, now } => {
                let text = text.push("its compatibility was `").push(promised.as_str());
                let text = text.push("`, and `").push(now.as_str()).push("` promises less; ");
                self.ask_for_reason(text, "")
            }
            Problem::Drift(mismatch) => self.ask_for_reason(mismatch.describe(text).push("; "), field),
            Problem::Old(mismatch) => {
                let text = mismatch.describe(text.push("old records can't be read: "));
                self.advise(mismatch.fix_of_new(text))
            }
            Problem::Renamed(mismatch, gone) => {
                let text = mismatch.describe(text.push("old records can't be read: "));
                self.advise(text.push("; restore its name, if it was `").quote(gone).push("`"))
            }
            Problem::New(mismatch) => {
                let text = mismatch.describe(text.push("programs that know the locked type can't read it: "));
                self.advise(text.push("; restore it"))
            }
            Problem::Gone(name) => {
                let text = text.push("the field `").quote(name).push("` is gone; restore it");
                match self.past {
                    true => text,
                    false => {
                        let text = text.push(", declare `reserved(\"").quote(name);
                        self.advise(text.push("\")` if it is no longer needed"))
                    }
                }
            }
            Problem::Reserved(name) => text
                .push("the name `")
                .quote(name)
                .push("` is reserved, because a removed field had it: choose another name"),
            Problem::Denied(name) => {
                let text = text
                    .push("programs that know the locked type deny unknown fields, such as `")
                    .quote(name);
                self.advise(text.push("`; remove it"))
            }
        }
    }

    /// Appends the alternative of a new version. For a superseded version, appends why it must not change
    /// instead.
    const fn advise(&self, text: Text) -> Text {
        match self.past {
            true => text.push(": its records are still read as this type"),
            false => text.push(", or declare `version = ").number(self.version as usize + 1).push("`"),
        }
    }
}

/// Whether a field that is not flattened is the same in both structs.
const fn is_same_field(now: &StructSchema, locked: &StructSchema, name: &str) -> bool {
    match (own_field(now, name), own_field(locked, name)) {
        (Some(now), Some(locked)) => now.is_same(locked),
        _ => false,
    }
}

const fn own_field<'a>(schema: &'a StructSchema, name: &str) -> Option<&'a FieldSchema> {
    let mut i = 0;
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        if let Some(own) = if field.written.is_some() { field.written } else { field.read }
            && !field.flatten
            && same(own, name)
        {
            return Some(field);
        }
    }
    None
}

/// Returns the first field that the locked struct writes and the declared struct does not know.
const fn first_gone(locked: &StructSchema, now: &StructSchema) -> Option<&'static str> {
    let mut i = 0;
    while i < locked.fields.len() {
        if let Some(name) = locked.fields[i].written
            && !locked.fields[i].flatten
            && name_read(now, name).is_none()
        {
            return Some(name);
        }
        i += 1;
    }
    None
}

/// Whether a struct reads the entries that a flattened field of the locked struct wrote, where that field was
/// not a struct.
pub(super) const fn keeps_entries(now: &'static StructSchema, was: &FieldSchema, within: Within) -> bool {
    let was_enum = matches!(without_option(was.shape), TypeSchema::Enum(_));
    if let Some((field, _)) = non_struct_for(now, was, within) {
        return match (without_option(field.shape), without_option(was.shape)) {
            (TypeSchema::Map(..) | TypeSchema::Any | TypeSchema::Opaque(_), _) => true,
            (_, TypeSchema::Map(..) | TypeSchema::Any) => false,
            _ => true,
        };
    }
    let mut i = 0;
    while i < now.fields.len() && was_enum {
        let field = &now.fields[i];
        i += 1;
        // A flattened enum may have become a flattened struct of the same name.
        if flattened(field).is_some()
            && let (Some(name), Some(was)) = (field.written, was.written)
            && same(name, was)
        {
            return true;
        }
    }
    false
}

const fn without_option(shape: &'static TypeSchema) -> &'static TypeSchema {
    match as_read(shape) {
        TypeSchema::Option(inner) => as_read(inner),
        shape => shape,
    }
}

const fn has_name(names: &[&str], name: Option<&str>) -> bool {
    match name {
        Some(name) => has(names, name),
        None => false,
    }
}

const fn has(names: &[&str], name: &str) -> bool {
    let mut i = 0;
    while i < names.len() {
        if same(names[i], name) {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether a type has named fields that are the fields of its JSON. Each of them is then checked separately.
pub(super) const fn has_fields(schema: &TypeSchema) -> bool {
    match schema {
        TypeSchema::Named(named) => {
            named.get().converts.is_empty() && matches!(named.get().shape, TypeSchema::Struct(_))
        }
        _ => false,
    }
}

/// Returns the name under which a struct reads a field written as `name`: `None` if the struct does not know
/// the field, `Some(None)` if it does not read it.
const fn name_read(schema: &StructSchema, name: &str) -> Option<Option<&'static str>> {
    let mut i = 0;
    while i < schema.fields.len() {
        let field: &FieldSchema = &schema.fields[i];
        i += 1;
        if let Some(inner) = flattened(field)
            && let Some(read) = name_read(inner, name)
        {
            return Some(read);
        }
        let read = match field.read {
            Some(read) => same(read, name) || has(field.aliases, name),
            None => false,
        };
        let written = match field.written {
            Some(written) => same(written, name),
            None => false,
        };
        if read || written {
            return Some(field.read);
        }
    }
    None
}

const fn is_written(schema: &StructSchema, name: &str) -> bool {
    let mut i = 0;
    while i < schema.fields.len() {
        let field = &schema.fields[i];
        i += 1;
        if let Some(inner) = flattened(field)
            && is_written(inner, name)
        {
            return true;
        }
        if let Some(written) = field.written
            && same(written, name)
        {
            return true;
        }
    }
    false
}

/// Checks a field of an event against the lock.
#[track_caller]
pub const fn locked_field(locked: &Locked, field: &'static str) {
    if let Err(problem) = locked.check_field(field)
        && !locked.is_permitted_by_reason(field, &problem)
    {
        panic!("{}", locked.describe(field, &problem).as_str());
    }
}

/// Checks that an event promises at least the locked compatibility.
#[track_caller]
pub const fn locked_promise(locked: &Locked) {
    if let Err(problem) = locked.check_promise()
        && !locked.is_permitted_by_reason("", &problem)
    {
        panic!("{}", locked.describe("", &problem).as_str());
    }
}

/// Checks that a reason, given for a field or for the rest, is needed by a change.
#[track_caller]
pub const fn locked_reason(locked: &Locked, field: &'static str) {
    if let Some(text) = locked.unneeded_reason(field) {
        panic!("{}", text.as_str());
    }
}

/// Checks that the previous version of a locked event is locked, too.
#[track_caller]
pub const fn locked_previous(written: &str, is_locked: bool) {
    if !is_locked {
        let text = Text::EMPTY.push("`").quote(written).push("` is a version of a locked event, ");
        let text = text.push("but is not locked itself: declare it with `typed_events::locked::event`");
        panic!("{}", text.as_str());
    }
}

/// Checks everything that belongs to no field of an event, or the whole event if it has no named fields.
#[track_caller]
pub const fn locked_rest(locked: &Locked) {
    if let Err(problem) = locked.check_rest()
        && !locked.is_permitted_by_reason("", &problem)
    {
        panic!("{}", locked.describe("", &problem).as_str());
    }
}

/// Checks that the event's name is claimed by the type that declares it.
#[track_caller]
pub const fn locked_item(event: &str, item: &str, locked: &str) {
    if !same(item, locked) {
        let text = Text::EMPTY.push("`").push(event).push("` belongs to `").push(locked);
        let text = text.push("`, but `").push(item);
        let text = text.push("` also claims it: choose another name; mark the older version `superseded`; or, if the type has moved, write the lock");
        panic!("{}", text.as_str());
    }
}

/// Checks that a pattern matches a locked event. `names` are the locked events that it may match.
///
/// If it matches none, the message suggests `hint` if that matches one of `hinted`, else `nearest`.
#[track_caller]
pub const fn locked_pattern(pattern: &str, names: &[&str], hint: &str, hinted: &[&str], nearest: &str) {
    // An invalid pattern is reported by another check, and events of the library are not locked.
    let Ok(parsed) = Pattern::new(pattern) else { return };
    if is_of_library(pattern) {
        return;
    }
    if matches_any(&parsed, names) {
        return;
    }
    let text = Text::EMPTY.push("no locked event matches `").push(pattern).push("`");
    // A hint is suggested only if it matches an event.
    let meant = match Pattern::new(hint) {
        Ok(hinting) if matches_any(&hinting, hinted) => hint,
        _ => nearest,
    };
    let text = match meant.is_empty() {
        true => text.push(": if it matches a new event, write the lock"),
        false => text.push(": did you mean `").push(meant).push("`?"),
    };
    panic!("{}", text.as_str());
}

const fn matches_any(pattern: &Pattern<'_>, names: &[&str]) -> bool {
    let mut i = 0;
    while i < names.len() {
        if pattern.matches(names[i]) {
            return true;
        }
        i += 1;
    }
    false
}

/// Checks that an event set has a variant for each locked event that the patterns of its handler match.
#[track_caller]
pub const fn locked_set(
    handler: &str,
    argument: &str,
    accepts: AcceptedEvents,
    patterns: &[&str],
    names: &[&str],
) {
    let AcceptedEvents::Set(_) = accepts else { return };
    let mut i = 0;
    while i < names.len() {
        let name = names[i];
        i += 1;
        if accepts.contains(name) {
            continue;
        }
        let mut k = 0;
        while k < patterns.len() {
            if let Ok(pattern) = Pattern::new(patterns[k])
                && pattern.matches(name)
            {
                let text = Text::EMPTY.push("handler `").push(handler).push("` is on `").push(patterns[k]);
                let text = text.push("`, which takes `").push(name).push("`, but `").quote(argument);
                let text = text.push("` has no variant for it: add one, or one for all others, ");
                panic!("{}", text.push("`Other(&'a Record)`").as_str());
            }
            k += 1;
        }
    }
}
