//! How adapters protect secrets.

/// Protects the secrets in what an adapter stores and sends: given to
/// [`BusBuilder::secrets`](crate::BusBuilder::secrets).
///
/// ```
/// use typed_events::secret::Seal;
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
