//! The data of an input tensor with references among its elements.

use assay_primitives::{Datatype, ItemId, OutputPointer, Tensor, TensorError};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

/// Stands for an earlier item's output.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WireReference {
    /// The earlier item.
    #[serde(rename = "$from")]
    #[schema(value_type = String)]
    pub(super) from: ItemId,
    /// What of its output: `/outputs/O/data`, or `/outputs/O/data/E` for one element.
    #[schema(value_type = String)]
    pub(super) pointer: OutputPointer,
}

/// A tensor with anything where references stand, and these by their place: an element in row-major
/// order, or all of the data.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) tensor: Tensor,
    pub(super) references: Vec<(Option<u32>, WireReference)>,
}

/// Data that cannot be read.
#[derive(Debug)]
pub(super) enum DataError {
    Tensor(TensorError),
    Reference(String),
}

/// Reads data that may have references: `shape` has been compared with the model's card before.
pub(super) fn read(
    name: String,
    shape: Vec<u64>,
    datatype: Datatype,
    data: &RawValue,
) -> Result<Filled, DataError> {
    let text = data.get();
    if !text.contains('{') {
        let tensor = Tensor::from_json(name, shape, datatype, data).map_err(DataError::Tensor)?;
        return Ok(Filled { tensor, references: Vec::new() });
    }
    if text.starts_with('{') {
        let (reference, _) = reference(text)?;
        let count: u64 = shape.iter().product();
        let bytes = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(datatype.size());
        let tensor = Tensor::from_le_bytes(name, shape, datatype, &vec![0; bytes]);
        let tensor = tensor.map_err(DataError::Tensor)?;
        return Ok(Filled { tensor, references: vec![(None, reference)] });
    }
    let (text, references) = fill(text, datatype)?;
    let data = RawValue::from_string(text).or_else(|_| to_raw_value(&()));
    let data = data.map_err(|error| DataError::Reference(error.to_string()))?;
    let tensor = Tensor::from_json(name, shape, datatype, &data).map_err(DataError::Tensor)?;
    Ok(Filled { tensor, references })
}

type Places = Vec<(Option<u32>, WireReference)>;

/// Puts a value in the place of each reference, and says where they stood. The text is JSON.
fn fill(text: &str, datatype: Datatype) -> Result<(String, Places), DataError> {
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
            '"' => return Err(DataError::Reference("an element is a string".to_owned())),
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
fn reference(text: &str) -> Result<(WireReference, usize), DataError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<WireReference>();
    match values.next() {
        Some(Ok(reference)) => Ok((reference, values.byte_offset())),
        Some(Err(error)) => Err(DataError::Reference(error.to_string())),
        None => Err(DataError::Reference("it ends".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use assay_primitives::TensorData;

    use super::*;

    fn read_data(shape: &[u64], data: &str) -> Result<Filled, DataError> {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        read("x".to_owned(), shape.to_vec(), Datatype::Fp32, &data)
    }

    fn place(element: u32, from: &str, pointer: &str) -> (Option<u32>, WireReference) {
        let reference =
            WireReference { from: from.parse().unwrap(), pointer: pointer.parse().unwrap() };
        (Some(element), reference)
    }

    #[test]
    fn references_are_found_wherever_elements_stand() {
        let (one, other) = (
            r#"{"$from":"a","pointer":"/outputs/0/data/1"}"#,
            r#"{ "pointer" : "/outputs/1/data", "$from" : "b-{]," }"#,
        );
        let nested = format!("[[1.5, {one}],\n\t[ {one} ,-2e0]]");
        let filled = read_data(&[2, 2], &nested).unwrap();
        let pointer = "/outputs/0/data/1";
        assert_eq!(filled.references, [place(1, "a", pointer), place(2, "a", pointer)]);
        assert_eq!(filled.tensor.data(), &TensorData::Fp32(vec![1.5, 0.0, 0.0, -2.0]));

        let whole = read_data(&[3], one).unwrap();
        assert_eq!(whole.references, [(None, place(0, "a", pointer).1)]);
        assert_eq!(whole.tensor.data().len(), 3);
        let none = read_data(&[1], "[7]").unwrap();
        assert!(none.references.is_empty());

        for wrong in [
            format!("[{other}]"),
            r#"[{"$from":"a"}]"#.to_owned(),
            r#"[{"$from":"a","pointer":"/outputs/0/data/1","more":1}]"#.to_owned(),
            r#"[{"$from":"a","pointer":"/outputs/0/shape"}]"#.to_owned(),
            r#"["{", {"$from":"a","pointer":"/outputs/0/data/1"}]"#.to_owned(),
            "[{}]".to_owned(),
            format!("[{one},[{one}]]"),
            format!("[{one}]"),
        ] {
            assert!(read_data(&[2], &wrong).is_err(), "{wrong}");
        }
    }
}
