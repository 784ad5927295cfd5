use assay_primitives::{Datatype, Tensor};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ModelCard;

/// Real labelled inputs that come with a model.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Sample>);

/// One labelled input.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// The index of the right class.
    pub label: usize,
    /// The model's one input.
    pub input: Tensor,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    samples: Vec<WireSample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSample {
    label: usize,
    data: Box<RawValue>,
}

impl Samples {
    pub(crate) fn from_json(text: &[u8], card: &ModelCard) -> Result<Self, String> {
        let wire: Wire = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let [spec] = card.inputs.as_slice() else {
            return Err(format!("samples are of one input, the card has {}", card.inputs.len()));
        };
        let datatype: Datatype = spec
            .datatype
            .parse()
            .map_err(|error: assay_primitives::TensorError| error.to_string())?;
        let read = |sample: WireSample| {
            let (name, shape) = (spec.name.clone(), spec.shape.clone());
            let input = Tensor::from_json(name, shape, datatype, &sample.data)?;
            Ok(Sample { label: sample.label, input })
        };
        wire.samples
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(|error: assay_primitives::TensorError| error.to_string())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Sample> {
        self.0.get(index)
    }

    /// Iterates over all.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter()
    }
}
