use std::fs::File;

use serde_json::Value;

use crate::support::{Gateway, Place};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");

/// The names and ids of a list of models.
fn ids(models: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |model: &Value| {
        text(if model["name"].is_null() { &model["card"]["name"] } else { &model["name"] })
    };
    models["models"].as_array().unwrap().iter().map(|m| (name(m), text(&m["id"]))).collect()
}

#[test]
fn models_are_the_same_wherever_they_are_listed() {
    let place = Place::new();
    let carried = ids(&place.run(&["models", "--json"]).expect(0).json());
    assert_eq!(carried.len(), 3);
    assert_eq!(carried[0].0, "digits");
    let folder = ids(&place.run(&["models", "--json", "--folder", FOLDER]).expect(0).json());
    assert_eq!(folder, carried);
    let gateway = Gateway::start(&place, &[]);
    let sold = place.run(&["models", "--json", "--gateway", &gateway.url]).expect(0).json();
    assert_eq!(ids(&sold), carried);
    assert_eq!(sold["operator"], gateway.told["operator"]);
    // A folder that is named counts more than a gateway in the environment.
    let env = [("ASSAY_GATEWAY", gateway.url.as_str())];
    let both = place.run_with(&env, &["models", "--json", "--folder", FOLDER]).expect(0).json();
    assert_eq!(both["operator"], Value::Null);
    let env_only = place.run_with(&env, &["models", "--json"]).expect(0).json();
    assert_eq!(env_only["operator"], gateway.told["operator"]);

    let example = place.run_with(&env, &["models", "--example", "tumour"]).expect(0).stdout;
    assert!(example.starts_with("{\"inputs\":[{\"name\":\"features\""), "{example}");

    let text = place.run(&["models", "--gateway", &gateway.url]).expect(0).stdout;
    assert!(text.contains("signed      0.001 devUSD; you have to believe the operator"), "{text}");
    let text = place.run(&["models"]).expect(0).stdout;
    assert!(text.starts_with("digits 1  Handwritten digits\n"), "{text}");
    for (_, id) in carried {
        assert!(text.contains(&id), "{text}");
    }
}

#[test]
fn models_that_are_not_there_are_said_not_to_be() {
    let place = Place::new();
    let models = |args: &[&str]| place.run(&[&["models"], args].concat());
    models(&["--folder", "none"]).expect_told(2, "none: there is no such file or folder");
    models(&["--folder", "."]).expect_told(2, "no model package");
    models(&["--example", "faces"]).expect_told(2, "there are: digits, tumour, wine");
    models(&["--gateway", "http://127.0.0.1:1"]).expect_told(1, "cannot be reached");
    models(&["--gateway", "nowhere"]).expect_told(2, "is not the URL of a gateway");
    std::fs::create_dir(place.path("broken")).unwrap();
    place.file("broken/model.toml", "name = 1");
    models(&["--folder", "."]).expect(2);
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    let place = Place::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = place.command(&["models"]);
    let output = child.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("standard output: No space left"), "{told}");
}
