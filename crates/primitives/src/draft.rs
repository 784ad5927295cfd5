use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;

use crate::{Datatype, ItemId, OutputPointer, Tensor, TensorError};

/// Stands for an earlier item's output: `{"$from": ITEM, "pointer": "/outputs/O/data/E"}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OutputReference {
    /// The earlier item.
    #[serde(rename = "$from")]
    pub from: ItemId,
    /// What of its output: one element, or the data of a tensor.
    pub pointer: OutputPointer,
}

/// An input tensor some of whose elements are not known yet, as they are earlier items' output.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorDraft {
    tensor: Tensor,
    references: Places,
}

/// Data that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DraftError {
    /// What is known of it is no tensor.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Something that is neither an element nor a reference.
    #[error("tensor `{name}`: expected elements and references, got: {reason}")]
    Reference {
        /// The tensor's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl TensorDraft {
    /// Reads the data of a tensor, flat in row-major order or nested as its shape, with references in the
    /// place of elements or of all of it.
    ///
    /// # Errors
    /// When what is known is no tensor's data, or something is neither an element nor a reference.
    pub fn from_json(
        name: String,
        shape: Vec<u64>,
        datatype: Datatype,
        data: &RawValue,
    ) -> Result<Self, DraftError> {
        let text = data.get();
        if !text.contains('{') {
            let tensor = Tensor::from_json(name, shape, datatype, data)?;
            return Ok(Self { tensor, references: Vec::new() });
        }
        let wrong = |reason: String| DraftError::Reference { name: name.clone(), reason };
        if stands_for_all(data) {
            let (reference, _) = reference(text).map_err(wrong)?;
            let tensor = Tensor::zeros(name, shape, datatype)?;
            return Ok(Self { tensor, references: vec![(None, reference)] });
        }
        let (text, references) = fill(text, datatype).map_err(wrong)?;
        let data = RawValue::from_string(text).or_else(|_| to_raw_value(&()));
        let data = data.map_err(|error| wrong(error.to_string()))?;
        let tensor = Tensor::from_json(name, shape, datatype, &data)?;
        Ok(Self { tensor, references })
    }

    /// Returns the tensor, with anything where references stand, and these by their place: an element in
    /// row-major order, or all of the data.
    #[must_use]
    pub fn into_parts(self) -> (Tensor, Vec<(Option<u32>, OutputReference)>) {
        (self.tensor, self.references)
    }

    /// Says whether a tensor is this one: name, shape, datatype, and all that is known of its data.
    #[must_use]
    pub fn is_of(&self, tensor: &Tensor) -> bool {
        let mut known = self.tensor.clone();
        for (element, _) in &self.references {
            let element = element.map(|element| element as usize);
            let is_put = tensor.data().part(element).is_some_and(|data| known.put(element, &data));
            if !is_put {
                return false;
            }
        }
        known.name() == tensor.name()
            && known.shape() == tensor.shape()
            && known.data().datatype() == tensor.data().datatype()
            && known.data().to_le_bytes() == tensor.data().to_le_bytes()
    }
}

/// Says whether one reference stands in the place of all data.
#[must_use]
pub fn stands_for_all(data: &RawValue) -> bool {
    data.get().starts_with('{')
}

/// References by their place.
type Places = Vec<(Option<u32>, OutputReference)>;

/// Puts a value in the place of each reference, and says where they stood. The text is JSON.
fn fill(text: &str, datatype: Datatype) -> Result<(String, Places), String> {
    let value = if datatype == Datatype::Bool { "false" } else { "0" };
    let (mut filled, mut references) = (String::with_capacity(text.len()), Vec::new());
    let (mut rest, mut element) = (text, 0_u32);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '[' | ']' | ',' | ' ' | '\t' | '\n' | '\r' => {
                filled.push(first);
                1
            }
            '{' => {
                let (reference, length) = reference(rest)?;
                filled.push_str(value);
                references.push((Some(element), reference));
                element = element.saturating_add(1);
                length
            }
            '"' => return Err("a string".to_owned()),
            _ => {
                let length = rest.find([',', ']', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                filled.push_str(rest.get(..length).unwrap_or_default());
                element = element.saturating_add(1);
                length
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok((filled, references))
}

/// Reads the reference that a text begins with, and says how long it is.
fn reference(text: &str) -> Result<(OutputReference, usize), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<OutputReference>();
    match values.next() {
        Some(Ok(reference)) => Ok((reference, values.byte_offset())),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorData;

    fn read(shape: &[u64], data: &str) -> Result<TensorDraft, DraftError> {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        TensorDraft::from_json("x".to_owned(), shape.to_vec(), Datatype::Fp32, &data)
    }

    fn to(from: &str, pointer: &str) -> OutputReference {
        OutputReference { from: from.parse().unwrap(), pointer: pointer.parse().unwrap() }
    }

    fn tensor(shape: &[u64], values: &[f32]) -> Tensor {
        let data = TensorData::Fp32(values.to_vec());
        Tensor::new("x".to_owned(), shape.to_vec(), data).unwrap()
    }

    #[test]
    fn references_are_found_wherever_elements_stand() {
        let one = r#"{"$from":"a","pointer":"/outputs/0/data/1"}"#;
        let nested = format!("[[1.5, {one}],\n\t[ {one} ,-2e0]]");
        let draft = read(&[2, 2], &nested).unwrap();
        let reference = to("a", "/outputs/0/data/1");
        let (known, references) = draft.clone().into_parts();
        assert_eq!(references, [(Some(1), reference.clone()), (Some(2), reference.clone())]);
        assert_eq!(known.data(), &TensorData::Fp32(vec![1.5, 0.0, 0.0, -2.0]));
        assert!(draft.is_of(&tensor(&[2, 2], &[1.5, 7.0, 8.0, -2.0])));
        assert!(!draft.is_of(&tensor(&[2, 2], &[1.5, 7.0, 8.0, 2.0])));
        assert!(!draft.is_of(&tensor(&[4], &[1.5, 7.0, 8.0, -2.0])));

        let draft = read(&[3], one).unwrap();
        assert!(draft.is_of(&tensor(&[3], &[1.0, 2.0, 3.0])));
        assert!(!draft.is_of(&tensor(&[2], &[1.0, 2.0])));
        assert_eq!(draft.into_parts(), (tensor(&[3], &[0.0; 3]), vec![(None, reference)]));
        let draft = read(&[1], "[7]").unwrap();
        assert!(draft.is_of(&tensor(&[1], &[7.0])) && !draft.is_of(&tensor(&[1], &[0.0])));
    }

    #[test]
    fn what_is_neither_element_nor_reference_is_refused() {
        let one = r#"{"$from":"a","pointer":"/outputs/0/data/1"}"#;
        for wrong in [
            r#"[{"$from":"b-{]","pointer":"/outputs/1/data"},1]"#.to_owned(),
            r#"[{"$from":"a"}]"#.to_owned(),
            r#"[{"$from":"a","pointer":"/outputs/0/data/1","more":1}]"#.to_owned(),
            r#"[{"$from":"a","pointer":"/outputs/0/shape"}]"#.to_owned(),
            r#"["{", {"$from":"a","pointer":"/outputs/0/data/1"}]"#.to_owned(),
            "[{}]".to_owned(),
            format!("[{one},[{one}]]"),
            format!("[{one}]"),
        ] {
            assert!(read(&[2], &wrong).is_err(), "{wrong}");
        }
        assert!(read(&[u64::MAX, 2], one).is_err());
        assert!(read(&[1 << 60], one).is_err());
    }
}
