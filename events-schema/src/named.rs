//! Declared types, and references to them that may form a cycle.

use std::fmt;

use super::TypeSchema;

/// A declared type: its source location, its documentation and its shape.
pub struct NamedSchema {
    /// The module path and the name of the type.
    pub path: &'static str,
    /// The file of the declaration.
    pub file: &'static str,
    /// The line of the declaration. It distinguishes types with the same path.
    pub line: u32,
    /// The doc comment of the type.
    pub doc: &'static str,
    /// Whether the type is marked `#[deprecated]`.
    pub deprecated: bool,
    /// Whether the type is secret. Its values are hidden in `Debug` output and in JSON, except in stored records.
    pub secret: bool,
    /// serde's options `from`, `try_from` and `into` with their types, as text; empty if there are none.
    pub converts: &'static str,
    /// Where the compiler checks that the type reads back what it writes.
    pub verified: Verified,
    /// The shape of the type.
    pub shape: &'static TypeSchema,
}

/// Where the compiler checks that a declared type reads back what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// At the declaration: events and payloads.
    Declared,
    /// At each event or payload with a field of the type. Such a type may be only written or only read.
    Used,
    /// Like [`Used`](Self::Used), for each instance of a generic type.
    Instance,
}

impl NamedSchema {
    /// Creates a declared type with a shape and no other details.
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

    /// Marks the type as secret.
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Sets the types of serde's conversions.
    pub const fn converts(self, converts: &'static str) -> Self {
        Self { converts, ..self }
    }

    /// Returns the name without the module path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit("::").next().unwrap_or(self.path)
    }

    /// Returns whether both are instances of generic types. Different instances of one type have the same path. An
    /// instance contains itself only through a type that is not generic, so a traversal ends even if
    /// it does not record the instances.
    pub(super) const fn are_instances(&self, other: &Self) -> bool {
        matches!((self.verified, other.verified), (Verified::Instance, Verified::Instance))
    }

    /// Returns whether both are the same declaration. All instances of one generic type are.
    pub const fn is(&self, other: &Self) -> bool {
        self.line == other.line && super::written::same(self.path, other.path)
    }
}

/// A reference to a declared type that can be followed in a constant.
///
/// A type may contain itself. If a constant held a plain reference to the declaration, evaluating either of them would
/// need the other one first (E0391). A raw pointer does not have that problem, since the compiler does not evaluate its
/// target until it is dereferenced.
#[derive(Clone, Copy)]
pub struct NamedRef {
    to: *const NamedSchema,
    optional: bool,
}

impl NamedRef {
    /// Creates a reference to a declaration.
    pub const fn new(to: &'static NamedSchema) -> Self {
        Self { to, optional: false }
    }

    /// Makes a wrapper that serde writes as its inner value optional if the inner type is optional.
    pub const fn optional_like(self, wrapped: &TypeSchema) -> Self {
        Self { optional: wrapped.is_optional(), ..self }
    }

    /// Returns the declaration.
    #[allow(unsafe_code, reason = "stable Rust has no other reference that constants can follow in a cycle")]
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

// SAFETY: `NamedRef` has the value of a `&'static NamedSchema` (see `get`). That reference is `Send` and `Sync`, since
// `NamedSchema` is `Sync`.
#[allow(unsafe_code, reason = "a raw pointer is neither by itself")]
unsafe impl Send for NamedRef {}
// SAFETY: see `Send`.
#[allow(unsafe_code, reason = "a raw pointer is neither by itself")]
unsafe impl Sync for NamedRef {}

/// Prints the name alone, since the declaration may contain itself.
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
