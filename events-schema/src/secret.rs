//! Secret fields and types.
//!
//! A secret is left out of `Debug` output and of JSON, unless it is serialized inside [`reveal`].

use std::cell::Cell;

use crate::{FieldSchema, MAX_NAMES, NamedSchema, StructSchema, TypeSchema, as_read};

thread_local! {
    /// Number of calls of [`reveal`] that are active on this thread.
    static REVEALING: Cell<u32> = const { Cell::new(0) };
}

/// The text that replaces the value of a secret type.
pub const HIDDEN: &str = "[secret]";

/// Returns whether serializers on this thread leave out secrets.
pub fn is_hidden() -> bool {
    REVEALING.get() == 0
}

/// Like [`is_hidden`], in the form that serde's `skip_serializing_if` needs.
pub fn hides<T: ?Sized>(_: &T) -> bool {
    is_hidden()
}

/// Runs a serializer with the secrets. Everything that is serialized on this thread meanwhile includes them.
pub fn reveal<T>(serialize: impl FnOnce() -> T) -> T {
    struct Revealing;
    impl Drop for Revealing {
        fn drop(&mut self) {
            REVEALING.set(REVEALING.get() - 1);
        }
    }
    REVEALING.set(REVEALING.get() + 1);
    let _revealing = Revealing;
    serialize()
}

impl FieldSchema {
    #[doc(hidden)]
    /// Returns whether the field or its value is secret.
    pub const fn is_hidden(&self) -> bool {
        self.secret || self.shape.is_hidden()
    }
}

impl TypeSchema {
    /// Returns whether the value as a whole is secret.
    pub const fn is_hidden(&'static self) -> bool {
        let mut shape = self;
        let mut names = 0;
        while names < MAX_NAMES {
            shape = match shape {
                Self::Named(named) if named.get().secret => return true,
                Self::Named(named) => named.get().shape,
                Self::Option(inner) => inner,
                _ => return false,
            };
            names += 1;
        }
        false
    }

    #[doc(hidden)]
    /// Returns whether the type contains a secret. Follows at most `depth` nested declarations.
    pub const fn hides_within(&'static self, depth: usize) -> bool {
        let mut i = 0;
        match self {
            Self::Named(named) => {
                named.get().secret || depth > 0 && named.get().shape.hides_within(depth - 1)
            }
            Self::Option(inner) | Self::Sequence(inner, _) => inner.hides_within(depth),
            Self::Map(keys, values) => keys.hides_within(depth) || values.hides_within(depth),
            Self::Differs { written, .. } => written.hides_within(depth),
            Self::Tuple(items) => {
                while i < items.len() && !items[i].hides_within(depth) {
                    i += 1;
                }
                i < items.len()
            }
            Self::Struct(schema) => {
                while i < schema.fields.len()
                    && !schema.fields[i].secret
                    && !schema.fields[i].shape.hides_within(depth)
                {
                    i += 1;
                }
                i < schema.fields.len()
            }
            Self::Enum(schema) => {
                while i < schema.variants.len() {
                    if let Some(body) = schema.variants[i].body
                        && body.hides_within(depth)
                    {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            _ => false,
        }
    }

    #[doc(hidden)]
    /// Returns whether the type accepts any JSON, so that nothing is known about how it uses the value.
    pub const fn reads_anything(&'static self) -> bool {
        let mut shape = self;
        while let Self::Option(inner) = as_read(shape) {
            shape = inner;
        }
        matches!(as_read(shape), Self::Any | Self::Opaque(_))
    }

    /// Returns whether the type contains a secret field or a secret type.
    ///
    /// # Complexity
    ///
    /// Visits each declared type once.
    pub fn has_secrets(&'static self) -> bool {
        self.secrets() == Secrets::Some
    }

    #[doc(hidden)]
    pub fn secrets(&'static self) -> Secrets {
        secrets(self, &mut Vec::new())
    }
}

/// Result of searching a type for secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secrets {
    None,
    /// No secret was found, but the type contains an opaque type, which may have some.
    Unseen,
    Some,
}

fn secrets(shape: &'static TypeSchema, seen: &mut Vec<&'static NamedSchema>) -> Secrets {
    let mut of = |shape| secrets(shape, seen);
    let found = match shape {
        TypeSchema::Named(named) => {
            let named = named.get();
            if seen.iter().any(|other| std::ptr::eq(*other, named)) {
                return Secrets::None;
            }
            seen.push(named);
            if named.secret {
                return Secrets::Some;
            }
            Some(secrets(named.shape, seen))
        }
        TypeSchema::Option(inner) | TypeSchema::Sequence(inner, _) => Some(of(inner)),
        TypeSchema::Tuple(items) => items.iter().map(|item| of(item)).max(),
        TypeSchema::Map(keys, values) => Some(of(keys).max(of(values))),
        TypeSchema::Struct(StructSchema { fields, .. }) => {
            let of = |field: &FieldSchema| if field.secret { Secrets::Some } else { of(field.shape) };
            fields.iter().map(of).max()
        }
        TypeSchema::Enum(schema) => schema.variants.iter().filter_map(|variant| variant.body).map(of).max(),
        TypeSchema::Differs { written, read } => Some(of(written).max(of(read))),
        TypeSchema::Opaque(_) => Some(Secrets::Unseen),
        _ => None,
    };
    found.unwrap_or(Secrets::None)
}
