use assay_primitives::{Datatype, InferenceOutput, InferenceRequest, Tensor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a model is, as its card (`model.toml`) says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelCard {
    /// The name it is asked by: `a-z`, `0-9`, `-`, up to 64 characters.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its name for people.
    pub title: String,
    /// What it does, in a sentence or two.
    pub description: String,
    /// What kind of task it does, such as `image-classification`.
    pub category: String,
    /// The licence of the model.
    pub licence: String,
    /// What the classes are called, in the order of the outputs; empty when it has none.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Its inputs, in order.
    pub inputs: Vec<TensorSpec>,
    /// Its outputs, in order.
    pub outputs: Vec<TensorSpec>,
    /// How well it does on data it has not seen.
    pub accuracy: Accuracy,
    /// How it came to be.
    pub training: Training,
}

/// An input or output of a model.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Its element type, as the Open Inference Protocol names it.
    pub datatype: String,
    /// Its shape, outermost dimension first.
    pub shape: Vec<u64>,
    /// What it means.
    pub description: String,
}

/// How well a model does on data it has not seen.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Accuracy {
    /// What is measured, such as `top-1`.
    pub metric: String,
    /// The figure, a decimal with four places.
    pub value: String,
    /// How many were right.
    pub correct: u64,
    /// Of how many.
    pub samples: u64,
    /// What data it was measured on.
    pub split: String,
}

/// How a model came to be.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Training {
    /// The data.
    pub data: String,
    /// The script that makes the model from the data.
    pub script: String,
    /// The script's seed.
    pub seed: u64,
}

/// A card that cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("model card: {0}")]
pub struct CardError(pub(crate) String);

/// An input that does not fit a model.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum InputError {
    /// No such input.
    #[error("input `{got}` is not one of the model's: {expected}")]
    Unknown {
        /// The model's inputs.
        expected: String,
        /// The name that was given.
        got: String,
    },
    /// An input is not there.
    #[error("input `{0}` is missing")]
    Missing(String),
    /// An input is there twice.
    #[error("input `{0}` is given more than once")]
    Duplicate(String),
    /// Another element type.
    #[error("input `{name}`: expected datatype {expected}, got {got}")]
    Datatype {
        /// The input.
        name: String,
        /// The model's type.
        expected: String,
        /// The type that was given.
        got: Datatype,
    },
    /// Another shape.
    #[error("input `{name}`: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The input.
        name: String,
        /// The model's shape.
        expected: Vec<u64>,
        /// The shape that was given.
        got: Vec<u64>,
    },
}

impl ModelCard {
    /// Reads a card.
    ///
    /// # Errors
    /// Names the line and the field that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, CardError> {
        let card: Self =
            toml::from_str(text).map_err(|error| CardError(error.to_string().trim_end().into()))?;
        let named = (1..=64).contains(&card.name.len())
            && card.name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !named {
            let shown: String = card.name.chars().take(64).collect();
            return Err(CardError(format!("name: expected a-z, 0-9 and `-`, got `{shown}`")));
        }
        for tensor in card.inputs.iter().chain(&card.outputs) {
            tensor
                .datatype
                .parse::<Datatype>()
                .map_err(|error| CardError(format!("`{}`: {error}", tensor.name)))?;
        }
        check_names("inputs", &card.inputs)?;
        check_names("outputs", &card.outputs)?;
        Ok(card)
    }

    /// Makes a request of input tensors, checked against the card and put in its order.
    ///
    /// # Errors
    /// Names the input that does not fit, and both values.
    pub fn request(&self, tensors: Vec<Tensor>) -> Result<InferenceRequest, InputError> {
        let mut given: Vec<Option<Tensor>> = self.inputs.iter().map(|_| None).collect();
        for tensor in tensors {
            let place =
                self.inputs.iter().zip(&mut given).find(|(spec, _)| spec.name == tensor.name());
            let Some((spec, slot)) = place else {
                let names: Vec<&str> = self.inputs.iter().map(|spec| spec.name.as_str()).collect();
                let got = tensor.name().to_owned();
                return Err(InputError::Unknown { expected: names.join(", "), got });
            };
            if slot.is_some() {
                return Err(InputError::Duplicate(spec.name.clone()));
            }
            spec.check(&tensor)?;
            *slot = Some(tensor);
        }
        let inputs = self
            .inputs
            .iter()
            .zip(given)
            .map(|(spec, tensor)| tensor.ok_or_else(|| InputError::Missing(spec.name.clone())))
            .collect::<Result<_, _>>()?;
        Ok(InferenceRequest { inputs })
    }

    /// Returns the class an output speaks for: the label at its first output's greatest value.
    #[must_use]
    pub fn top_label(&self, output: &InferenceOutput) -> Option<&str> {
        self.labels.get(output.outputs.first()?.argmax()?).map(String::as_str)
    }
}

fn check_names(what: &str, tensors: &[TensorSpec]) -> Result<(), CardError> {
    if tensors.is_empty() {
        return Err(CardError(format!("{what}: a model has at least one")));
    }
    for (index, tensor) in tensors.iter().enumerate() {
        if tensors.iter().take(index).any(|other| other.name == tensor.name) {
            return Err(CardError(format!("{what}: two are called `{}`", tensor.name)));
        }
    }
    Ok(())
}

impl TensorSpec {
    fn check(&self, tensor: &Tensor) -> Result<(), InputError> {
        let name = || self.name.clone();
        let got = tensor.data().datatype();
        if got.as_str() != self.datatype {
            return Err(InputError::Datatype {
                name: name(),
                expected: self.datatype.clone(),
                got,
            });
        }
        if tensor.shape() != self.shape {
            let (expected, got) = (self.shape.clone(), tensor.shape().to_vec());
            return Err(InputError::Shape { name: name(), expected, got });
        }
        Ok(())
    }
}
