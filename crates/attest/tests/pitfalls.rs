//! The mistakes that `docs/attestation.md` lists have the tests that it names.

use crate::samples::workspace;

#[test]
fn every_mistake_has_the_tests_that_are_named() {
    let text = std::fs::read_to_string(workspace().join("docs/attestation.md")).unwrap();
    let (_, section) = text.split_once("## What verifiers fall into").unwrap();
    let rows: Vec<&str> =
        section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).collect();
    assert_eq!(rows.len(), 13);
    let mut named = 0;
    for row in rows {
        let mut words = row.split('`').skip(1).step_by(2).peekable();
        while let Some(file) = words.next() {
            let path = workspace().join("crates/attest/src").join(file);
            let source = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            while let Some(test) = words.next_if(|word| !word.ends_with(".rs")) {
                let is_there = source.contains(&format!("#[test]\nfn {test}() {{"));
                assert!(is_there, "{file} has no test {test}: {row}");
                named += 1;
            }
        }
    }
    assert!(named >= 25, "{named}");
}
