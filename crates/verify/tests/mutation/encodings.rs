//! Other spellings of the same bytes: of base64, of hexadecimal, of JSON.

use assay_primitives::encoding::from_base64;

use super::outcome;
use super::tree::Node;
use crate::methods;

fn places_of(bundle: &Node, fits: fn(&str) -> bool) -> Vec<(Vec<usize>, String)> {
    let mut bundle = bundle.clone();
    let mut places = bundle.places();
    places.retain(|(place, _)| matches!(bundle.at(place), Node::Text(text) if fits(text)));
    assert!(!places.is_empty());
    places
}

fn bundle() -> Node {
    let file = methods::bundle().to_bytes().unwrap();
    Node::parse(str::from_utf8(&file).unwrap())
}

/// Returns what becomes of a bundle in which the text at a place is spelt so.
fn respelt(bundle: &Node, place: &[usize], text: String) -> &'static str {
    let mut bundle = bundle.clone();
    *bundle.at(place) = Node::Text(text);
    outcome(&methods::verifier(), bundle.write().as_bytes())
}

#[test]
fn base64_has_one_spelling() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bundle = bundle();
    let is_base64 = |text: &str| from_base64(text).is_ok_and(|b| b.len() > 32 && text.len() != 64);
    let mut with_padding = 0;
    for (place, name) in places_of(&bundle, is_base64) {
        let text = bundle.clone().at(&place).text().to_owned();
        let expect_unusable = |what: &str, text: String| {
            assert_eq!(respelt(&bundle, &place, text), "unusable", "{what} in {name}");
        };
        expect_unusable("a space", format!("{} {}", &text[..4], &text[4..]));
        expect_unusable("a space at the end", format!("{text} "));
        expect_unusable("an escaped line break", format!("{}\\n{}", &text[..4], &text[4..]));
        expect_unusable("more padding", format!("{text}="));
        expect_unusable("a character of base64url", format!("-{}", &text[1..]));
        let unpadded = text.trim_end_matches('=');
        if unpadded.len() == text.len() {
            continue;
        }
        with_padding += 1;
        expect_unusable("no padding", unpadded.to_owned());
        // The last character has bits that no byte takes: four when two are missing, else two.
        let last = ALPHABET.iter().position(|c| *c == *unpadded.as_bytes().last().unwrap());
        let other = char::from(ALPHABET[last.unwrap() | 1]);
        let padding = &text[unpadded.len()..];
        let respelt = format!("{}{other}{padding}", &unpadded[..unpadded.len() - 1]);
        assert_ne!(respelt, text);
        expect_unusable("bits after the end", respelt);
    }
    assert!(with_padding > 5);
}

#[test]
fn hexadecimal_has_one_spelling() {
    let bundle = bundle();
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    for (place, name) in places_of(&bundle, is_hex) {
        let text = bundle.clone().at(&place).text().to_owned();
        // A key id is text to the envelope; what it says is compared as text.
        let expected = match name.as_str() {
            "receipt.signatures[].keyid" => "receipt.signature",
            "settlementRecords[].signatures[].keyid" => "settlement.signature",
            "keyManifest.signatures[].keyid" => "manifest.signature",
            _ => "unusable",
        };
        for wrong in [text.to_uppercase(), format!("0x{text}"), text[..62].to_owned()] {
            // A salt of zeros has no capitals.
            if wrong != text {
                assert_eq!(respelt(&bundle, &place, wrong.clone()), expected, "{wrong} in {name}");
            }
        }
    }
}

#[test]
fn json_has_one_spelling() {
    let verifier = methods::verifier();
    let file = String::from_utf8(methods::bundle().to_bytes().unwrap()).unwrap();
    for (what, wrong) in [
        ("a line break at the end", format!("{file}\n")),
        ("a space before it", format!(" {file}")),
        ("a space after a colon", file.replacen("\":", "\": ", 1)),
        ("an escaped character", file.replacen("mediaType\":\"a", "mediaType\":\"\\u0061", 1)),
        ("an escaped key", file.replacen("\"mediaType", "\"\\u006dediaType", 1)),
        ("an escaped slash", file.replacen("application/", "application\\/", 1)),
    ] {
        assert_ne!(wrong, file);
        assert_eq!(outcome(&verifier, wrong.as_bytes()), "bundle.encoding", "{what}");
    }
    for (what, wrong) in [
        ("a byte order mark", format!("\u{feff}{file}")),
        ("a second value", format!("{file}{file}")),
        ("a comment", format!("{file}//")),
        ("nothing", String::new()),
        ("another JSON", "{}".to_owned()),
        ("a part", file[..file.len() - 1].to_owned()),
    ] {
        assert_eq!(outcome(&verifier, wrong.as_bytes()), "unusable", "{what}");
    }
    assert_eq!(outcome(&verifier, &[file.as_bytes(), &[0xff]].concat()), "unusable");
}
