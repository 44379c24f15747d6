//! The checks of an event against its file, evaluated in constants and when the lock is written.

#![allow(clippy::panic, reason = "a panic in a constant is a compiler error")]
#![allow(clippy::result_large_err, reason = "a constant can't put a misfit in a box")]

use super::{Compatibility, Locking};
use crate::event::EventDecl;
use crate::handler::Takes;
use crate::pattern::{Pattern, is_of_library};
use crate::schema::{FieldSchema, Misfit, StructSchema, TypeSchema, as_read, same};
use crate::text::Text;

/// Whether the lock is written: then nothing is checked.
pub const fn is_writing(env: Option<&str>) -> bool {
    match env {
        Some(value) => same(value, super::WRITE),
        None => false,
    }
}

/// An event, and what its file says of the version that is checked.
#[derive(Clone, Copy)]
pub struct Locked {
    event: &'static str,
    version: u32,
    compatibility: Compatibility,
    /// Whether a newer version has taken its place.
    past: bool,
    /// Both of the declaration and of the file.
    reserved: [&'static [&'static str]; 2],
    now: &'static TypeSchema,
    locked: &'static TypeSchema,
}

/// What is wrong with a change.
enum Problem {
    /// The new type does not read what was written.
    Old(Misfit),
    /// The new type needs a field that was not written; one of this name is gone.
    Renamed(Misfit, &'static str),
    /// The locked type does not read what is written.
    New(Misfit),
    /// A field is no longer there.
    Gone(&'static str),
    /// A field has a name that no field may have again.
    Reserved(&'static str),
    /// A field that old programs refuse.
    Denied(&'static str),
}

type Verdict = Result<(), Problem>;

impl Locked {
    /// What a declaration says of its own version; `None` where the file does not have it.
    pub const fn of(
        event: &'static str,
        version: u32,
        now: &'static TypeSchema,
        locking: &Locking,
    ) -> Option<Self> {
        let Some(file) = locking.file else { return None };
        let Some(locked) = file.version else { return None };
        let (compatibility, reserved) = (locking.compatibility, [locking.reserved, file.reserved]);
        Some(Self { event, version, compatibility, past: false, reserved, now, locked })
    }

    /// A version that is only read.
    pub const fn past(
        event: &'static str,
        version: u32,
        now: &'static TypeSchema,
        locked: &'static TypeSchema,
    ) -> Self {
        let compatibility = Compatibility::Backward;
        Self { event, version, compatibility, past: true, reserved: [&[], &[]], now, locked }
    }

    /// Whether there is nothing to check.
    pub const fn is_unchanged(&self) -> bool {
        self.now.is_same(self.locked)
    }

    /// Checks one field, by the name it is written or read under.
    const fn field(&self, name: &'static str) -> Verdict {
        let (TypeSchema::Struct(now), TypeSchema::Struct(locked)) = (as_read(self.now), as_read(self.locked))
        else {
            return self.whole();
        };
        if let Some(name) = self.reserved_among(now, Some(name)) {
            return Err(Problem::Reserved(name));
        }
        if self.compatibility.reads_old()
            && let Some(Some(read)) = name_read(now, name)
            && let Err(misfit) = self.now.can_read_field(read, self.locked)
        {
            return match first_gone(locked, now) {
                Some(gone) if misfit.is_missing_field() => Err(Problem::Renamed(misfit, gone)),
                _ => Err(Problem::Old(misfit)),
            };
        }
        if !self.compatibility.is_read_by_old() {
            return Ok(());
        }
        match name_read(locked, name) {
            Some(Some(read)) => match self.locked.can_read_field(read, self.now) {
                Ok(()) => Ok(()),
                Err(misfit) => Err(Problem::New(misfit)),
            },
            None if locked.deny_unknown => Err(Problem::Denied(name)),
            _ => Ok(()),
        }
    }

    /// Checks what no field of the type stands for: fields that are gone.
    const fn rest(&self) -> Verdict {
        let (TypeSchema::Struct(now), TypeSchema::Struct(locked)) = (as_read(self.now), as_read(self.locked))
        else {
            return self.whole();
        };
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
                && let Err(misfit) = self.locked.can_read_field(read, self.now)
            {
                return Err(Problem::New(misfit));
            }
        }
        match self.gone(locked, now) {
            Some(name) => Err(Problem::Gone(name)),
            None => Ok(()),
        }
    }

    /// The first name that was written, is not known any more, and is not said to be reserved.
    const fn gone(&self, locked: &StructSchema, now: &StructSchema) -> Option<&'static str> {
        let mut i = 0;
        while i < locked.fields.len() {
            let field = &locked.fields[i];
            i += 1;
            if let Some(inner) = flattened(field) {
                // What stands beside other fields has no name of its own.
                if let Some(name) = self.gone(inner, now) {
                    return Some(name);
                }
            } else if let Some(name) = field.written
                && !field.flatten
                && name_read(now, name).is_none()
                && !has(self.reserved[0], name)
            {
                return Some(name);
            }
        }
        None
    }

    /// The first reserved name that a field has, or one that stands beside it; `only` one field, by the
    /// name it is written or read under.
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

    /// Checks a type that is no struct of named fields, or was none.
    const fn whole(&self) -> Verdict {
        if self.compatibility.reads_old()
            && let Err(misfit) = self.now.can_read(self.locked)
        {
            return Err(Problem::Old(misfit));
        }
        if self.compatibility.is_read_by_old()
            && let Err(misfit) = self.locked.can_read(self.now)
        {
            return Err(Problem::New(misfit));
        }
        Ok(())
    }

    const fn describe(&self, problem: &Problem) -> Text {
        let text = Text::new().push("`").push(self.event).push("` breaks its lock (version ");
        let text = text.number(self.version as usize).push("): ");
        match problem {
            Problem::Old(misfit) => {
                let text = misfit.describe(text.push("old records can't be read: "));
                self.advise(misfit.fix_of_new(text))
            }
            Problem::Renamed(misfit, gone) => {
                let text = misfit.describe(text.push("old records can't be read: "));
                self.advise(text.push("; restore its name, if it was `").quote(gone).push("`"))
            }
            Problem::New(misfit) => {
                let text = misfit.describe(text.push("programs that know the locked type can't read it: "));
                self.advise(text.push("; restore it"))
            }
            Problem::Gone(name) => {
                let text = text.push("the field `").quote(name).push("` is gone; restore it");
                match self.past {
                    true => text,
                    false => {
                        let text = text.push(", say `reserved(\"").quote(name);
                        self.advise(text.push("\")` if nobody needs it"))
                    }
                }
            }
            Problem::Reserved(name) => text
                .push("the name `")
                .quote(name)
                .push("` is reserved: a field that is gone had it; take another"),
            Problem::Denied(name) => {
                let text =
                    text.push("programs that know the locked type deny unknown fields, as `").quote(name);
                self.advise(text.push("` is to them; take it away"))
            }
        }
    }

    /// Adds the way out that is always there.
    const fn advise(&self, text: Text) -> Text {
        match self.past {
            true => text.push(": its records are still read as this type"),
            false => text.push(", or declare `version = ").number(self.version as usize + 1).push("`"),
        }
    }
}

/// The first field that a struct writes and another one does not know.
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

/// The struct whose fields stand in the place of one.
const fn flattened(field: &FieldSchema) -> Option<&'static StructSchema> {
    if !field.flatten {
        return None;
    }
    match as_read(field.shape) {
        TypeSchema::Struct(inner) => Some(inner),
        TypeSchema::Option(inner) => match as_read(inner) {
            TypeSchema::Struct(inner) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}

/// The name under which a struct reads what is written under `name`, if it knows it, and reads it.
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

/// Checks a field of an event against its lock.
#[track_caller]
pub const fn locked_field(locked: &Locked, field: &'static str) {
    if let Err(problem) = locked.field(field) {
        panic!("{}", locked.describe(&problem).as_str());
    }
}

/// Checks what no field of an event stands for, or all of one without named fields.
#[track_caller]
pub const fn locked_rest(locked: &Locked) {
    if let Err(problem) = locked.rest() {
        panic!("{}", locked.describe(&problem).as_str());
    }
}

/// Checks that the type that declares an event is the one that has claimed its name.
#[track_caller]
pub const fn locked_item(event: &str, item: &str, locked: &str) {
    if !same(item, locked) {
        let text = Text::new().push("`").push(event).push("` is the event of `").push(locked);
        let text = text.push("`, and `").push(item);
        let text = text.push("` claims it, too: choose another name; mark the older version `superseded`; or, if the type has moved, write the lock");
        panic!("{}", text.as_str());
    }
}

/// Checks that a pattern takes one of the locked events, of which `names` are those that come into
/// question.
#[track_caller]
pub const fn locked_pattern(pattern: &str, names: &[&str], hint: &str) {
    // What is no pattern has its own error; the events of the library are not locked.
    let Ok(parsed) = Pattern::new(pattern) else { return };
    if is_of_library(pattern) {
        return;
    }
    let mut i = 0;
    while i < names.len() {
        if parsed.matches(names[i]) {
            return;
        }
        i += 1;
    }
    let text = Text::new().push("no locked event matches `").push(pattern).push("`");
    let text = match hint.is_empty() {
        true => text.push(": is it a new one? Then write the lock"),
        false => text.push(": did you mean `").push(hint).push("`?"),
    };
    panic!("{}", text.as_str());
}

/// Checks that an event set has a variant for each locked event that its handler's patterns take.
#[track_caller]
pub const fn locked_set(handler: &str, argument: &str, takes: Takes, patterns: &[&str], names: &[&str]) {
    let Takes::Set(_) = takes else { return };
    let mut i = 0;
    while i < names.len() {
        let name = names[i];
        i += 1;
        if takes.takes(name) {
            continue;
        }
        let mut k = 0;
        while k < patterns.len() {
            if let Ok(pattern) = Pattern::new(patterns[k])
                && pattern.matches(name)
            {
                let text = Text::new().push("handler `").push(handler).push("` is on `").push(patterns[k]);
                let text = text.push("`, which takes `").push(name).push("`, but `").quote(argument);
                let text = text.push("` has no variant for it: add one, or one for all others, ");
                panic!("{}", text.push("`Other(&'a Record)`").as_str());
            }
            k += 1;
        }
    }
}

/// How a declaration breaks its lock, if it does.
pub(super) fn broken(decl: &EventDecl, locking: &Locking) -> Option<String> {
    let locked = Locked::of(decl.name, decl.version, decl.schema, locking)?;
    if locked.is_unchanged() {
        return None;
    }
    let fields: &[FieldSchema] = match as_read(decl.schema) {
        TypeSchema::Struct(schema) => schema.fields,
        _ => &[],
    };
    let mut names = fields.iter().filter_map(|field| field.written.or(field.read));
    let problem = names.find_map(|name| locked.field(name).err()).or_else(|| locked.rest().err())?;
    Some(locked.describe(&problem).as_str().to_owned())
}
