//! Attribute: what an app says of a device under a name it has declared, such as `nickname`: a text that may be filled
//! into the texts of its messages. Where it stands in a text is [`Piece`](crate::Piece)'s, how it gets there
//! [`Payload`](crate::Payload)'s.

mod wire;

use crate::ids::{DeviceId, Token};
use crate::ret::excerpt;

/// Bytes of a name, as documented.
pub const NAME_BYTES_MAX: usize = 50;
/// Bytes of a value, as documented.
pub const VALUE_BYTES_MAX: usize = 50;
/// Names an app may declare; not documented, our choice. So many may stand in one call, too.
pub const NAMES_MAX: usize = 50;

/// Why a text cannot be the name of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no name of an attribute: it has 1 to {NAME_BYTES_MAX} bytes, and no braces, bars or control characters"
)]
pub struct NotAName(String);

/// A text as the name of an attribute, without the blanks around it.
///
/// # Errors
/// It could not be declared, or not be written in a text.
pub fn name(text: &str) -> Result<&str, NotAName> {
    let name = text.trim();
    let is_unfit = |of: char| matches!(of, '{' | '}' | '|') || of.is_control();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(is_unfit) {
        return Err(NotAName(excerpt(text)));
    }
    Ok(name)
}

/// A call of `POST /v3/device/set_custom_attribute`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeCall {
    /// The device.
    pub token: Token,
    /// What is to be done.
    pub operation: AttributeOperation,
}

/// What is to be done with a device's attributes. Names are given once each, in the caller's order, and need not be
/// declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeOperation {
    /// Sets these; `None` takes one off. Others stay as they are.
    Set(Vec<(String, Option<String>)>),
    /// Takes all off.
    Clear,
    /// Asks for all.
    Query,
}

/// The attributes of some devices: what a [`Payload`](crate::Payload) is filled from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    names: Vec<String>,
    /// Device, place of the name, value; ascending.
    held: Vec<(DeviceId, usize, String)>,
}

impl Values {
    /// Of attributes by these names; what a device holds names one of them by its place.
    #[must_use]
    pub fn new(names: Vec<String>, mut held: Vec<(DeviceId, usize, String)>) -> Self {
        held.sort_unstable();
        Self { names, held }
    }

    /// What a device has under a name.
    #[must_use]
    pub fn get(&self, device: DeviceId, name: &str) -> Option<&str> {
        let name = self.names.iter().position(|known| known == name)?;
        let place = self.held.binary_search_by(|held| (held.0, held.1).cmp(&(device, name))).ok()?;
        Some(&self.held[place].2)
    }
}
