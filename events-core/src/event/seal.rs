//! Encryption of secrets in records that adapters store and send.

/// Encrypts the secrets of records before an adapter stores or sends them. Set with
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
    /// Encrypts a payload, given as JSON. The result is stored with the rest of the record.
    ///
    /// # Errors
    ///
    /// Returns the cause, without any part of the payload. The event is then not emitted.
    fn seal(&self, json: &str) -> Result<String, String>;

    /// Decrypts a text returned by [`seal`](Self::seal).
    ///
    /// # Errors
    ///
    /// Returns the cause. The record is then refused.
    fn open(&self, sealed: &str) -> Result<String, String>;

    #[doc(hidden)]
    fn is_plain(&self) -> bool {
        false
    }
}

/// Stores and sends secrets in plain text. Use it for an adapter whose storage and connections are protected.
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
