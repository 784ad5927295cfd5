//! Cards that cannot be used, and requests that do not fit one.

use assay_engine::{InputError, ModelCard};
use assay_primitives::{Datatype, Tensor, TensorData};

use crate::open;

fn card() -> String {
    std::fs::read_to_string(crate::folder("digits").join("model.toml")).unwrap()
}

fn error(text: &str) -> String {
    ModelCard::from_toml(text).unwrap_err().to_string()
}

#[test]
fn cards_that_are_wrong_are_explained() {
    let card = card();
    assert!(ModelCard::from_toml(&card).is_ok());
    let with = |from: &str, to: &str| {
        assert!(card.contains(from), "{from}");
        error(&card.replacen(from, to, 1))
    };
    for name in ["", "Digits", "a b", "a/b", "é", &"x".repeat(65)] {
        let message = with("name = \"digits\"", &format!("name = \"{name}\""));
        assert!(message.contains("expected a-z, 0-9 and `-`"), "{message}");
    }
    assert!(
        with("datatype = \"FP32\"", "datatype = \"FP16\"").contains("`image`: datatype `FP16`")
    );
    assert!(with("seed = 7", "seed = 7\ncolour = 1").contains("unknown field `colour`"));
    assert!(with("seed = 7", "").contains("missing field `seed`"));
    assert!(with("shape = [1, 1, 8, 8]", "shape = [1, -1, 8, 8]").contains("shape"));
    assert!(error("not toml").starts_with("model card: "));
    let inputs =
        "[[inputs]]\nname = \"image\"\ndatatype = \"FP32\"\nshape = [1]\ndescription = \"\"\n";
    let twice = card.replacen("[[outputs]]", &format!("{inputs}\n[[outputs]]"), 1);
    assert!(error(&twice).contains("inputs: two are called `image`"), "{}", error(&twice));
    let none = card.replacen("[[inputs]]", "[[outputs]]", 1);
    assert!(error(&none).contains("missing field `inputs`"), "{}", error(&none));
    let emptied = format!("inputs = []\n{none}");
    assert!(error(&emptied).contains("inputs: a model has at least one"), "{}", error(&emptied));
}

#[test]
fn requests_fit_the_card() {
    let package = open("digits");
    let card = package.card();
    let image = |name: &str, shape: Vec<u64>, data: TensorData| {
        Tensor::new(name.to_owned(), shape, data).unwrap()
    };
    let good = || image("image", vec![1, 1, 8, 8], TensorData::Fp32(vec![0.0; 64]));
    assert_eq!(card.request(vec![good()]).unwrap().inputs.len(), 1);
    let missing = card.request(vec![]).unwrap_err();
    assert_eq!(missing, InputError::Missing("image".to_owned()));
    let twice = card.request(vec![good(), good()]).unwrap_err();
    assert_eq!(twice, InputError::Duplicate("image".to_owned()));
    let other = image("picture", vec![1], TensorData::Fp32(vec![0.0]));
    let (expected, got) = ("image".to_owned(), "picture".to_owned());
    assert_eq!(card.request(vec![other]).unwrap_err(), InputError::Unknown { expected, got });
    let flat = image("image", vec![64], TensorData::Fp32(vec![0.0; 64]));
    let (name, expected, got) = ("image".to_owned(), vec![1, 1, 8, 8], vec![64]);
    assert_eq!(card.request(vec![flat]).unwrap_err(), InputError::Shape { name, expected, got });
    let wide = image("image", vec![1, 1, 8, 8], TensorData::Fp64(vec![0.0; 64]));
    let (name, expected, got) = ("image".to_owned(), "FP32".to_owned(), Datatype::Fp64);
    assert_eq!(card.request(vec![wide]).unwrap_err(), InputError::Datatype { name, expected, got });
}
