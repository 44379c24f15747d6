//! Types with a declaration of their own, and references to them that may form a circle.

use std::fmt;

use super::TypeSchema;

/// A declared type: where it stands, what the user says about it, and its shape.
pub struct NamedSchema {
    /// The module path and the name.
    pub path: &'static str,
    /// The file of its declaration.
    pub file: &'static str,
    /// The line of its declaration: tells types of one path apart.
    pub line: u32,
    /// What its doc comment says.
    pub doc: &'static str,
    /// Whether it is marked `#[deprecated]`.
    pub deprecated: bool,
    /// Whether textual forms leave out what is of this type.
    pub secret: bool,
    /// What it is converted from when it is read, and into when it is written, as serde's options
    /// `from`, `try_from` and `into` say it; empty where it is not.
    pub converts: &'static str,
    /// Where the compiler checks that it reads back what it writes.
    pub verified: Verified,
    /// Its shape.
    pub shape: &'static TypeSchema,
}

/// Where the compiler checks that a declared type reads back what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Where it is declared: an event, or a payload.
    Declared,
    /// Where an event or a payload has a field of it: it may be only written, or only read.
    Used,
    /// The same for each instance of a generic type.
    Instance,
}

impl NamedSchema {
    /// A type of which nothing is said but its shape.
    pub const fn new(path: &'static str, shape: &'static TypeSchema) -> Self {
        Self {
            path,
            file: "",
            line: 0,
            doc: "",
            deprecated: false,
            secret: false,
            converts: "",
            verified: Verified::Used,
            shape,
        }
    }

    /// Left out of textual forms.
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Converted by code of the user.
    pub const fn converts(self, converts: &'static str) -> Self {
        Self { converts, ..self }
    }

    /// The name without its modules.
    pub fn name(&self) -> &'static str {
        self.path.rsplit("::").next().unwrap_or(self.path)
    }

    /// Whether both are instances of generic types. Instances of one type have one path and differ; none
    /// contains itself but through a type that is not generic. So a walk need not remember such a pair.
    pub(super) const fn are_instances(&self, other: &Self) -> bool {
        matches!((self.verified, other.verified), (Verified::Instance, Verified::Instance))
    }

    /// Whether both are one declaration. Instances of a generic type are.
    pub const fn is(&self, other: &Self) -> bool {
        self.line == other.line && super::written::same(self.path, other.path)
    }
}

/// A reference to a declared type that a constant can follow.
///
/// A type may contain itself. A constant that held a plain reference to the declaration would need
/// the declaration to be evaluated first, and that one the constant (E0391): so the reference is a
/// pointer, which the compiler follows only when somebody does.
#[derive(Clone, Copy)]
pub struct NamedRef {
    to: *const NamedSchema,
    optional: bool,
}

impl NamedRef {
    /// Refers to a declaration.
    pub const fn new(to: &'static NamedSchema) -> Self {
        Self { to, optional: false }
    }

    /// A wrapper that is not there on the wire may be missing where what it wraps may.
    pub const fn optional_like(self, wrapped: &TypeSchema) -> Self {
        Self { optional: wrapped.is_optional(), ..self }
    }

    /// The declaration.
    #[allow(unsafe_code, reason = "stable Rust has no other reference that constants can follow in a circle")]
    pub const fn get(self) -> &'static NamedSchema {
        // SAFETY: `to` is private and was made from a `&'static NamedSchema` in `new`, the only
        // constructor; it is therefore valid, aligned and shared for `'static`.
        unsafe { &*self.to }
    }

    #[doc(hidden)]
    pub const fn is_optional(self) -> bool {
        self.optional
    }
}

// SAFETY: it stands for a `&'static NamedSchema` (see `get`), and `NamedSchema` is `Sync`, which makes
// that reference `Send` and `Sync`.
#[allow(unsafe_code, reason = "a raw pointer is neither by itself")]
unsafe impl Send for NamedRef {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "a raw pointer is neither by itself")]
unsafe impl Sync for NamedRef {}

/// Prints the name alone: what is behind it may contain it.
impl fmt::Debug for NamedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get().name())
    }
}

impl fmt::Debug for NamedSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}", self.path, self.shape)
    }
}
