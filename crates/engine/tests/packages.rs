//! What a package's id stands for, and packages that cannot be used.

use assay_engine::{ModelPackage, PackageError};
use assay_primitives::{Digest, ModelId};

use crate::{folder, open};

/// The stated encoding, written down a second time.
fn id_of(artifact: &[u8], card: &[u8], samples: &[u8]) -> ModelId {
    let mut bytes = b"assay model package v1\n".to_vec();
    for (name, content) in
        [("model.onnx", artifact), ("model.toml", card), ("samples.json", samples)]
    {
        bytes.extend((name.len() as u64).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend((content.len() as u64).to_be_bytes());
        bytes.extend(content);
    }
    ModelId(Digest::of(&bytes))
}

fn contents(name: &str) -> [Vec<u8>; 3] {
    ["model.onnx", "model.toml", "samples.json"]
        .map(|file| std::fs::read(folder(name).join(file)).unwrap())
}

#[test]
fn ids_are_of_the_stated_encoding() {
    for name in ["digits", "tumour", "wine"] {
        let [artifact, card, samples] = contents(name);
        assert_eq!(open(name).id(), id_of(&artifact, &card, &samples), "{name}");
        let again = ModelPackage::from_parts(artifact.clone(), &card, &samples).unwrap();
        assert_eq!((again.id(), again.artifact()), (open(name).id(), artifact.as_slice()));
    }
    // An encoding that never changes, computed with another program.
    let id = id_of(b"a", b"b", b"c").to_string();
    assert_eq!(id, "06bdc27adfab9efe8c95039675e4e8fc6e2043fc986b60ae3551020e5df64b93");
}

#[test]
fn every_byte_counts() {
    let [artifact, card, samples] = contents("digits");
    let id = open("digits").id();
    let mut changed = artifact.clone();
    changed[100] ^= 1;
    assert_ne!(ModelPackage::from_parts(changed, &card, &samples).unwrap().id(), id);
    let spaced = [card.as_slice(), b"\n"].concat();
    assert_ne!(ModelPackage::from_parts(artifact.clone(), &spaced, &samples).unwrap().id(), id);
    let spaced = [samples.as_slice(), b" "].concat();
    assert_ne!(ModelPackage::from_parts(artifact, &card, &spaced).unwrap().id(), id);
}

#[test]
fn what_is_missing_or_too_large_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = ModelPackage::open(empty.path()).unwrap_err();
    assert!(matches!(&error, PackageError::Read { path, .. } if path.ends_with("model.onnx")));
    for file in ["model.onnx", "model.toml", "samples.json"] {
        std::fs::copy(folder("digits").join(file), empty.path().join(file)).unwrap();
    }
    assert!(ModelPackage::open(empty.path()).is_ok());
    std::fs::write(empty.path().join("model.toml"), vec![b'#'; (64 << 10) + 1]).unwrap();
    let error = ModelPackage::open(empty.path()).unwrap_err();
    assert!(matches!(error, PackageError::TooLarge { limit: 65_536, .. }), "{error}");
    std::fs::write(empty.path().join("model.toml"), "name = 1").unwrap();
    let error = ModelPackage::open(empty.path()).unwrap_err();
    assert!(matches!(&error, PackageError::Card { path, .. } if path == empty.path()), "{error}");
}

#[test]
fn samples_fit_the_card() {
    let [artifact, card, _] = contents("digits");
    let read =
        |samples: &str| match ModelPackage::from_parts(artifact.clone(), &card, samples.as_bytes())
        {
            Err(PackageError::Samples { error, .. }) => error,
            other => panic!("{samples}: {other:?}"),
        };
    assert!(read("[]").contains("expected struct"), "{}", read("[]"));
    let short = read(r#"{"samples":[{"label":1,"data":[1,2]}]}"#);
    assert!(short.contains("64 elements"), "{short}");
    let word = format!(r#"{{"samples":[{{"label":1,"data":[{}"x"]}}]}}"#, "0,".repeat(63));
    assert!(read(&word).contains("image"), "{}", read(&word));
    assert!(read(r#"{"samples":[{"label":-1,"data":[]}]}"#).contains("invalid value"));
    assert!(read(r#"{"samples":[],"more":1}"#).contains("unknown field"));
}
