//! Secrets: what textual forms leave out, and adapters get only by the one encoder.

use std::cell::Cell;

use crate::schema::{NamedSchema, StructSchema, TypeSchema};

thread_local! {
    /// How many encoders for the wire this thread is in.
    static REVEALING: Cell<u32> = const { Cell::new(0) };
}

/// What stands in text where a secret type's value would.
pub const HIDDEN: &str = "[secret]";

/// Whether what is serialised is text, for people: then secrets are left out.
pub fn is_hidden() -> bool {
    REVEALING.get() == 0
}

/// The same, as serde asks for a field.
pub fn hides<T: ?Sized>(_: &T) -> bool {
    is_hidden()
}

/// Serialises with the secrets. What the user's `Serialize` impls do meanwhile on this thread sees them,
/// too.
pub(crate) fn reveal<T>(serialize: impl FnOnce() -> T) -> T {
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

/// Protects the secrets in what an adapter stores and sends: given to
/// [`BusBuilder::secrets`](crate::BusBuilder::secrets).
///
/// ```
/// use typed_events::Seal;
///
/// /// Stands for real encryption, of a crate such as `aes-gcm`.
/// struct Rot13;
/// # fn rot13(text: &str) -> String {
/// #     text.chars().map(|c| match c {
/// #         'a'..='m' | 'A'..='M' => (c as u8 + 13) as char,
/// #         'n'..='z' | 'N'..='Z' => (c as u8 - 13) as char,
/// #         _ => c,
/// #     }).collect()
/// # }
///
/// impl Seal for Rot13 {
///     fn seal(&self, json: &str) -> Result<String, String> { Ok(rot13(json)) }
///     fn open(&self, sealed: &str) -> Result<String, String> { Ok(rot13(sealed)) }
/// }
/// ```
pub trait Seal: Send + Sync + 'static {
    /// Encrypts a payload, as JSON, to text that is stored beside the rest of the record.
    ///
    /// # Errors
    ///
    /// Says why it can't, without the payload: nothing is emitted then.
    fn seal(&self, json: &str) -> Result<String, String>;

    /// Decrypts what [`seal`](Self::seal) returned.
    ///
    /// # Errors
    ///
    /// Says why it can't: the record is refused then.
    fn open(&self, sealed: &str) -> Result<String, String>;

    #[doc(hidden)]
    fn is_plain(&self) -> bool {
        false
    }
}

/// Stores and sends secrets as they are: for an adapter whose storage and connections are protected.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Seal for Plain {
    fn seal(&self, json: &str) -> Result<String, String> {
        Ok(json.to_owned())
    }

    fn open(&self, sealed: &str) -> Result<String, String> {
        Ok(sealed.to_owned())
    }

    fn is_plain(&self) -> bool {
        true
    }
}

impl TypeSchema {
    /// Whether there is a secret in it: a field or a type that textual forms leave out.
    ///
    /// # Complexity
    ///
    /// Visits each declared type once.
    pub fn has_secrets(&'static self) -> bool {
        has_secrets(self, &mut Vec::new())
    }
}

fn has_secrets(shape: &'static TypeSchema, seen: &mut Vec<&'static NamedSchema>) -> bool {
    match shape {
        TypeSchema::Named(named) => {
            let named = named.get();
            if seen.iter().any(|other| std::ptr::eq(*other, named)) {
                return false;
            }
            seen.push(named);
            named.secret || has_secrets(named.shape, seen)
        }
        TypeSchema::Option(inner) | TypeSchema::Sequence(inner) => has_secrets(inner, seen),
        TypeSchema::Tuple(items) => items.iter().any(|item| has_secrets(item, seen)),
        TypeSchema::Map(keys, values) => has_secrets(keys, seen) || has_secrets(values, seen),
        TypeSchema::Struct(StructSchema { fields, .. }) => {
            fields.iter().any(|field| field.secret || has_secrets(field.shape, seen))
        }
        TypeSchema::Enum(schema) => {
            schema.variants.iter().filter_map(|variant| variant.body).any(|body| has_secrets(body, seen))
        }
        TypeSchema::Differs { written, read } => has_secrets(written, seen) || has_secrets(read, seen),
        _ => false,
    }
}
