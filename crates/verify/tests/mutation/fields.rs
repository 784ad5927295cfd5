//! Every field of the bundle and of what is signed in it: changed, of another kind, left out, given
//! twice, renamed, moved, and joined by one that nobody knows. Nothing is signed again.

use assay_primitives::Digest;
use assay_primitives::encoding::{base64, from_base64};

use super::outcome;
use super::tree::{Fields, Node};
use crate::methods;

/// A JSON text inside the bundle, and what becomes of a bundle in which it is altered.
struct Document {
    /// Where in the bundle it stands in base64; the bundle itself if nowhere.
    place: Option<&'static str>,
    /// How many bytes stand before the JSON.
    header: usize,
    /// When its fields are not exactly those they should be, or not of their kinds.
    malformed: &'static str,
    /// When all that is wrong is how it is spelt: the order of its fields.
    misspelt: &'static str,
    /// When a field has another value; takes the field's name and its value.
    changed: fn(&str, &str) -> &'static str,
    /// Changes the bytes after the JSON was altered.
    mend: fn(&mut [u8]),
}

const BUNDLE: Document = Document {
    place: None,
    header: 0,
    malformed: "unusable",
    misspelt: "bundle.encoding",
    changed: |name, _| match name {
        "mediaType" => "bundle.version",
        "receipt.payload" => "receipt.content",
        "receipt.payloadType" | "receipt.signatures[].keyid" | "receipt.signatures[].sig" => {
            "receipt.signature"
        }
        "settlementRecords[].payload" => "settlement.content",
        "settlementRecords[].payloadType"
        | "settlementRecords[].signatures[].keyid"
        | "settlementRecords[].signatures[].sig" => "settlement.signature",
        "keyManifest.payload" => "manifest.content",
        "keyManifest.payloadType"
        | "keyManifest.signatures[].keyid"
        | "keyManifest.signatures[].sig" => "manifest.signature",
        "items[].statement" => "item.statement",
        "items[].salts.leaf" | "items[].path[]" => "item.inclusion",
        "items[].salts.request" | "items[].request" => "item.request",
        "items[].salts.output" | "items[].output" => "item.output",
        "evidence[].sha256" | "evidence[].content" => "item.evidence",
        _ => panic!("nothing is said of {name}"),
    },
    mend: |_| {},
};

const RECEIPT: Document = Document {
    place: Some("receipt.payload"),
    header: 0,
    malformed: "receipt.content",
    misspelt: "receipt.content",
    changed: |name, _| match name {
        "_type" | "subject[].name" | "predicateType" | "predicate.ledger" => "receipt.content",
        "predicate.operator" => "receipt.operator",
        "predicate.receiptKey" => "receipt.key",
        _ => "receipt.signature",
    },
    mend: |_| {},
};

const SETTLEMENT: Document = Document {
    place: Some("settlementRecords[].payload"),
    header: 0,
    malformed: "settlement.content",
    misspelt: "settlement.content",
    changed: |name, _| match name {
        "_type" | "subject[].name" | "predicateType" => "settlement.content",
        "predicate.receiptKey" => "settlement.key",
        _ => "settlement.signature",
    },
    mend: |_| {},
};

const MANIFEST: Document = Document {
    place: Some("keyManifest.payload"),
    header: 0,
    malformed: "manifest.content",
    misspelt: "manifest.content",
    changed: |name, value| match (name, value) {
        // These two have to agree, and only version 1 has none before it.
        ("operator" | "identityKey" | "version" | "previous", _) => "manifest.content",
        // A point that is not on the curve; an Ed25519 key that signs no receipts.
        ("keys[].publicKey", key) if key.len() > 64 => "manifest.content",
        ("keys[].purpose", "ledger") => "manifest.content",
        _ => "manifest.signature",
    },
    mend: |_| {},
};

const ITEM: Document = Document {
    place: Some("items[].statement"),
    header: 192,
    malformed: "item.statement",
    misspelt: "item.statement",
    changed: |_, _| "item.statement",
    mend: |_| {},
};

/// The item with the digest in its header made right: then only the tree tells.
const MENDED_ITEM: Document = Document {
    changed: |name, _| match name {
        // These stand in the header too, or decide what it may say.
        "method" | "model.package" | "model.program" | "outcome.status" => "item.statement",
        _ => "item.inclusion",
    },
    mend: |statement| {
        let digest = Digest::of(&statement[192..]);
        statement[160..192].copy_from_slice(digest.as_bytes());
    },
    ..ITEM
};

#[test]
fn no_field_of_the_bundle_can_be_altered() {
    BUNDLE.check();
}

#[test]
fn no_field_of_the_receipt_can_be_altered() {
    RECEIPT.check();
}

#[test]
fn no_field_of_a_settlement_record_can_be_altered() {
    SETTLEMENT.check();
}

#[test]
fn no_field_of_the_key_manifest_can_be_altered() {
    MANIFEST.check();
}

#[test]
fn no_field_of_an_item_can_be_altered() {
    ITEM.check();
    MENDED_ITEM.check();
}

impl Document {
    fn check(&self) {
        let file = methods::bundle().to_bytes().unwrap();
        let bundle = Node::parse(str::from_utf8(&file).unwrap());
        let verifier = methods::verifier();
        let (header, tree) = self.open(&bundle);
        let expect = |tree: &Node, expected: &str, what: &str| {
            let got = outcome(&verifier, &self.close(&bundle, &header, tree));
            assert_eq!(got, expected, "{what} in {}", self.place.unwrap_or("the bundle"));
        };
        expect(&tree, "verified", "nothing altered");
        for (place, name) in tree.places() {
            for (altered, expected) in self.values(&name, tree.clone().at(&place)) {
                let mut tree = tree.clone();
                *tree.at(&place) = altered;
                expect(
                    &tree,
                    expected,
                    &format!("another {name}: {}", tree.clone().at(&place).write()),
                );
            }
            let (at, parent) = place.split_last().unwrap();
            let Node::Object(fields) = tree.clone().at(parent).clone() else { continue };
            for (altered, expected, what) in self.fields(&fields, *at) {
                let mut tree = tree.clone();
                *tree.at(parent) = Node::Object(altered);
                expect(&tree, expected, &format!("{name} {what}"));
            }
        }
    }

    /// Returns what else might stand in the place of a value.
    fn values(&self, name: &str, value: &Node) -> Vec<(Node, &'static str)> {
        // What serde reads as well as an object, where an object is expected.
        let as_array = |fields: &[(String, Node)]| {
            Node::Array(fields.iter().map(|(_, node)| node.clone()).collect())
        };
        let mut values = match value {
            Node::Text(text) => {
                let changed = (self.changed)(name, text);
                vec![(Node::Text(another(name, text)), changed), (null(), self.malformed)]
            }
            Node::Other(null) if null == "null" => {
                vec![(Node::Text(another(name, "")), (self.changed)(name, ""))]
            }
            Node::Other(number) => {
                let number: u64 = number.parse().unwrap();
                vec![(Node::Other((number + 1).to_string()), (self.changed)(name, ""))]
            }
            Node::Object(fields) => vec![(as_array(fields), self.misspelt)],
            Node::Array(_) => vec![(null(), self.malformed)],
        };
        if let Node::Text(_) = value
            && optional(name)
        {
            values.pop();
        }
        values.push((Node::Object(vec![]), self.malformed));
        values.push((Node::Array(vec![Node::Array(vec![])]), self.malformed));
        values
    }

    /// Returns what else might stand in the place of field `at` and its neighbours.
    fn fields(
        &self,
        fields: &[(String, Node)],
        at: usize,
    ) -> Vec<(Fields, &'static str, &'static str)> {
        let altered = |alter: &dyn Fn(&mut Fields)| {
            let mut fields = fields.to_vec();
            alter(&mut fields);
            fields
        };
        let unknown = ("extra".to_owned(), Node::Other("0".to_owned()));
        let mut all = vec![
            (altered(&|fields| drop(fields.remove(at))), self.malformed, "removed"),
            (altered(&|fields| fields.insert(at, fields[at].clone())), self.malformed, "twice"),
            (altered(&|fields| fields[at].0.push('x')), self.malformed, "renamed"),
            (altered(&|fields| fields.insert(at, unknown.clone())), self.malformed, "extended"),
        ];
        if fields.len() > 1 {
            let next = (at + 1) % fields.len();
            all.push((altered(&|fields| fields.swap(at, next)), self.misspelt, "moved"));
        }
        all
    }

    fn open(&self, bundle: &Node) -> (Vec<u8>, Node) {
        let Some(place) = self.place else { return (Vec::new(), bundle.clone()) };
        let bytes = from_base64(bundle.clone().named(place).text()).unwrap();
        let (header, json) = bytes.split_at(self.header);
        (header.to_vec(), Node::parse(str::from_utf8(json).unwrap()))
    }

    fn close(&self, bundle: &Node, header: &[u8], tree: &Node) -> Vec<u8> {
        let Some(place) = self.place else { return tree.write().into_bytes() };
        let mut bytes = [header, tree.write().as_bytes()].concat();
        (self.mend)(&mut bytes);
        let mut bundle = bundle.clone();
        *bundle.named(place) = Node::Text(base64(&bytes));
        bundle.write().into_bytes()
    }
}

fn null() -> Node {
    Node::Other("null".to_owned())
}

fn optional(name: &str) -> bool {
    matches!(name, "predicate.nonce" | "predicate.transaction" | "items[].output")
}

/// Returns another value that this field can have.
fn another(name: &str, value: &str) -> String {
    match (name, value) {
        ("previous" | "model.program", "") => Digest::of(b"another").to_string(),
        ("items[].output", "") => base64(b"{}"),
        ("keys[].purpose", "receipt") => "ledger".to_owned(),
        ("keys[].purpose", "ledger") => "receipt".to_owned(),
        ("predicate.status", _) => "refunded".to_owned(),
        ("evidence[].scope", _) => "gateway".to_owned(),
        ("method", _) => "signed".to_owned(),
        (_, time) if time.ends_with(".000Z") => time.replace(".000Z", ".001Z"),
        (_, bytes) if is_base64(name) => {
            let mut bytes = from_base64(bytes).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            base64(&bytes)
        }
        (_, text) => {
            let last = if text.ends_with('0') { "1" } else { "0" };
            format!("{}{last}", &text[..text.len().saturating_sub(1)])
        }
    }
}

fn is_base64(name: &str) -> bool {
    let fields = ["payload", "sig", "statement", "identityKey", "publicKey", "content"];
    let last = name.rsplit('.').next().unwrap_or_default();
    fields.contains(&last) || matches!(name, "items[].request" | "items[].output")
}
