use std::fmt;

use assay_primitives::{encoding, printable};
use serde::{Serialize, Serializer};

/// Fields that belong together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Section {
    /// What they are of.
    pub name: String,
    /// The fields, in order.
    pub fields: Vec<Field>,
}

/// A field and its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Field {
    /// The name that its specification gives it, or words.
    pub name: String,
    /// The value, whole.
    #[serde(flatten)]
    pub value: Value,
}

/// A value, under its type's name in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Value {
    /// Words. Nothing in it can move a terminal's cursor.
    Text(String),
    /// Bytes, in hexadecimal in JSON.
    Hex(#[serde(serialize_with = "hex")] Vec<u8>),
    /// A number.
    Number(u64),
}

impl Section {
    pub(crate) fn new(name: impl fmt::Display) -> Self {
        Self { name: shown(name), fields: Vec::new() }
    }

    /// Adds words, which may come from anybody.
    pub(crate) fn text(self, name: impl fmt::Display, value: impl fmt::Display) -> Self {
        self.with(name, Value::Text(shown(value)))
    }

    pub(crate) fn hex(self, name: impl fmt::Display, value: &[u8]) -> Self {
        self.with(name, Value::Hex(value.to_vec()))
    }

    pub(crate) fn optional_hex(self, name: impl fmt::Display, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.hex(name, value),
            None => self.text(name, "none"),
        }
    }

    pub(crate) fn number(self, name: impl fmt::Display, value: impl TryInto<u64>) -> Self {
        self.with(name, Value::Number(value.try_into().unwrap_or(u64::MAX)))
    }

    pub(crate) fn flag(self, name: impl fmt::Display, value: bool) -> Self {
        self.text(name, if value { "yes" } else { "no" })
    }

    /// Adds several fields.
    pub(crate) fn all<T>(
        self,
        items: impl IntoIterator<Item = T>,
        add: impl Fn(Self, T) -> Self,
    ) -> Self {
        items.into_iter().fold(self, add)
    }

    /// Names whose fields these are.
    pub(crate) fn of(mut self, whose: &str) -> Self {
        self.name = format!("{whose}: {}", self.name);
        self
    }

    fn with(mut self, name: impl fmt::Display, value: Value) -> Self {
        self.fields.push(Field { name: shown(name), value });
        self
    }
}

fn shown(value: impl fmt::Display) -> String {
    printable(&value.to_string(), usize::MAX)
}

fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encoding::hex(bytes))
}
