use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::{InferenceOutput, InferenceRequest, Tensor, TensorData, encoding, printable};

/// A JSON pointer (RFC 6901) to data of an output as it is committed: `/outputs/O/data`, or
/// `/outputs/O/data/E` for one element in row-major order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OutputPointer(Place);

/// The same to data of a request: `/inputs/I/data`, or `/inputs/I/data/E`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InputPointer(Place);

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Place {
    tensor: u32,
    element: Option<u32>,
}

/// A text that is no pointer to data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `/{root}/N/data` or `/{root}/N/data/N` with numbers below 2^32, got `{got}`")]
pub struct PointerError {
    root: &'static str,
    got: String,
}

impl OutputPointer {
    const ROOT: &'static str = "outputs";

    /// Returns which output.
    #[must_use]
    pub const fn output(&self) -> u32 {
        self.0.tensor
    }

    /// Returns which of its elements; none if all.
    #[must_use]
    pub const fn element(&self) -> Option<u32> {
        self.0.element
    }

    /// Returns what stands there, if anything does.
    #[must_use]
    pub fn read(&self, output: &InferenceOutput) -> Option<TensorData> {
        self.0.read(&output.outputs)
    }
}

impl InputPointer {
    const ROOT: &'static str = "inputs";

    /// Makes the pointer to an input's element, or to all of its data.
    #[must_use]
    pub const fn new(input: u32, element: Option<u32>) -> Self {
        Self(Place { tensor: input, element })
    }

    /// Returns what stands there, if anything does.
    #[must_use]
    pub fn read(&self, request: &InferenceRequest) -> Option<TensorData> {
        self.0.read(&request.inputs)
    }

    /// Puts data there, if it has the datatype and the number of what stands there. Returns whether it
    /// has.
    #[must_use]
    pub fn write(&self, request: &mut InferenceRequest, data: &TensorData) -> bool {
        let tensor = request.inputs.get_mut(self.0.tensor as usize);
        tensor.is_some_and(|tensor| tensor.put(self.0.element(), data))
    }

    /// Says whether it points into what another points to.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = (self.0, other.0);
        let is_whole = one.element.is_none() || other.element.is_none();
        one.tensor == other.tensor && (is_whole || one.element == other.element)
    }
}

impl Place {
    fn element(self) -> Option<usize> {
        self.element.map(|element| element as usize)
    }

    fn read(self, tensors: &[Tensor]) -> Option<TensorData> {
        tensors.get(self.tensor as usize)?.data().part(self.element())
    }

    fn parse(root: &'static str, text: &str) -> Result<Self, PointerError> {
        let wrong = || PointerError { root, got: printable(text, 64) };
        let mut tokens = text.split('/');
        let mut next = || tokens.next();
        let (Some(""), Some(first), Some(tensor), Some("data")) = (next(), next(), next(), next())
        else {
            return Err(wrong());
        };
        let element = match (next(), next()) {
            (None, None) => None,
            (Some(element), None) => Some(index(element).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        };
        let tensor = index(tensor).filter(|_| first == root).ok_or_else(wrong)?;
        Ok(Self { tensor, element })
    }
}

/// Reads an array's index: no sign, no zeros before it (RFC 6901, section 4).
fn index(text: &str) -> Option<u32> {
    let is_index = text == "0" || !text.starts_with(['0', '+']);
    if is_index { text.parse().ok() } else { None }
}

macro_rules! as_text {
    ($($pointer:ident)*) => {$(
        impl fmt::Display for $pointer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Place { tensor, element } = self.0;
                write!(f, "/{}/{tensor}/data", Self::ROOT)?;
                element.map_or(Ok(()), |element| write!(f, "/{element}"))
            }
        }

        impl FromStr for $pointer {
            type Err = PointerError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Place::parse(Self::ROOT, text).map(Self)
            }
        }

        impl Serialize for $pointer {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $pointer {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                encoding::deserialize_text(deserializer)
            }
        }
    )*};
}

as_text!(OutputPointer InputPointer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_has_one_spelling() {
        for text in ["/outputs/0/data", "/outputs/0/data/0", "/outputs/12/data/4294967295"] {
            let pointer: OutputPointer = text.parse().unwrap();
            assert_eq!(pointer.to_string(), text);
        }
        for text in [
            "",
            "outputs/0/data",
            "/outputs/0",
            "/outputs/0/shape",
            "/outputs/0/data/",
            "/outputs/0/data/0/0",
            "/outputs/0/data/01",
            "/outputs/+0/data",
            "/outputs/0/data/-1",
            "/outputs/0/data/-",
            "/outputs/4294967296/data",
            "/inputs/0/data",
            "/outputs/0/data/\u{661}",
        ] {
            assert!(text.parse::<OutputPointer>().is_err(), "{text}");
        }
        let error = "/x".parse::<InputPointer>().unwrap_err().to_string();
        assert!(error.starts_with("expected `/inputs/N/data` or"), "{error}");
    }

    #[test]
    fn data_is_read_and_put_where_it_fits_and_nowhere_else() {
        let tensor = |values: Vec<f32>| {
            let shape = vec![values.len() as u64];
            Tensor::new("t".to_owned(), shape, TensorData::Fp32(values)).unwrap()
        };
        let output = InferenceOutput { outputs: vec![tensor(vec![0.5, -0.0])] };
        let mut request = InferenceRequest { inputs: vec![tensor(vec![1.0, 2.0])] };
        let read = |text: &str| text.parse::<OutputPointer>().unwrap().read(&output);
        let mut put = |text: &str, data: &TensorData| {
            text.parse::<InputPointer>().unwrap().write(&mut request, data)
        };
        let second = read("/outputs/0/data/1").unwrap();
        assert!(put("/inputs/0/data/0", &second));
        assert_eq!(read("/outputs/0/data/2"), None);
        assert_eq!(read("/outputs/1/data"), None);
        for (place, data) in [
            ("/inputs/0/data/2", second.clone()),
            ("/inputs/1/data/0", second.clone()),
            ("/inputs/0/data", second.clone()),
            ("/inputs/0/data/0", read("/outputs/0/data").unwrap()),
            ("/inputs/0/data/0", TensorData::Fp64(vec![1.0])),
        ] {
            assert!(!put(place, &data), "{place}");
        }
        assert_eq!(request.inputs[0].data(), &TensorData::Fp32(vec![-0.0, 2.0]));
        assert!(
            "/inputs/0/data"
                .parse::<InputPointer>()
                .unwrap()
                .write(&mut request, &read("/outputs/0/data").unwrap())
        );
        assert_eq!(request.inputs[0].data(), output.outputs[0].data());
    }
}
