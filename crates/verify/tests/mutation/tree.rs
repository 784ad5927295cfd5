//! JSON as it is spelt: a tree that keeps the order of fields, duplicates and the text of scalars.

use std::ops::Range;

/// A value in compact JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Object(Fields),
    Array(Vec<Self>),
    /// A string without its quotes and escapes: what is tested here has none.
    Text(String),
    /// A number, boolean or null.
    Other(String),
}

/// The fields of an object, in order.
pub(crate) type Fields = Vec<(String, Node)>;

/// A way into a tree: the places of fields and elements.
pub(crate) type Place = Vec<usize>;

impl Node {
    pub(crate) fn parse(text: &str) -> Self {
        let mut rest = text;
        let node = parse(&mut rest);
        assert_eq!(rest, "", "JSON goes on after its value");
        node
    }

    pub(crate) fn write(&self) -> String {
        let mut text = String::new();
        self.write_to(&mut text, "", &mut Vec::new());
        text
    }

    /// Returns where the contents of every scalar stand in the writing, by name.
    pub(crate) fn spans(&self) -> Vec<(String, Range<usize>)> {
        let mut spans = Vec::new();
        self.write_to(&mut String::new(), "", &mut spans);
        spans
    }

    /// Returns every place in the tree, with its name.
    pub(crate) fn places(&self) -> Vec<(Place, String)> {
        let mut places = Vec::new();
        self.collect(&mut Vec::new(), "", &mut places);
        places
    }

    pub(crate) fn at(&mut self, place: &[usize]) -> &mut Self {
        place.iter().fold(self, |node, at| match node {
            Self::Object(fields) => &mut fields[*at].1,
            Self::Array(elements) => &mut elements[*at],
            _ => panic!("a scalar has no parts"),
        })
    }

    pub(crate) fn named(&mut self, name: &str) -> &mut Self {
        let places = self.places();
        let (place, _) = places.iter().find(|(_, other)| other == name).expect(name);
        self.at(&place.clone())
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => panic!("{self:?} is no text"),
        }
    }

    fn collect(&self, place: &mut Place, name: &str, places: &mut Vec<(Place, String)>) {
        let mut visit = |at: usize, name: String, node: &Self| {
            place.push(at);
            places.push((place.clone(), name.clone()));
            node.collect(place, &name, places);
            place.pop();
        };
        match self {
            Self::Object(fields) => {
                for (at, (key, node)) in fields.iter().enumerate() {
                    visit(at, field_name(name, key), node);
                }
            }
            Self::Array(elements) => {
                for (at, node) in elements.iter().enumerate() {
                    visit(at, format!("{name}[]"), node);
                }
            }
            _ => {}
        }
    }

    fn write_to(&self, text: &mut String, name: &str, spans: &mut Vec<(String, Range<usize>)>) {
        match self {
            Self::Object(fields) => {
                for (at, (key, node)) in fields.iter().enumerate() {
                    text.push_str(if at == 0 { "{\"" } else { ",\"" });
                    text.push_str(key);
                    text.push_str("\":");
                    node.write_to(text, &field_name(name, key), spans);
                }
                text.push_str(if fields.is_empty() { "{}" } else { "}" });
            }
            Self::Array(elements) => {
                text.push('[');
                for (at, node) in elements.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    node.write_to(text, &format!("{name}[]"), spans);
                }
                text.push(']');
            }
            Self::Text(content) => {
                text.push('"');
                spans.push((name.to_owned(), text.len()..text.len() + content.len()));
                text.push_str(content);
                text.push('"');
            }
            Self::Other(content) => {
                spans.push((name.to_owned(), text.len()..text.len() + content.len()));
                text.push_str(content);
            }
        }
    }
}

fn field_name(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}

fn take(rest: &mut &str, token: &str) -> bool {
    let after = rest.strip_prefix(token);
    *rest = after.unwrap_or(rest);
    after.is_some()
}

fn until(rest: &mut &str, ends: &[char]) -> String {
    let end = rest.find(ends).unwrap_or(rest.len());
    let (token, after) = rest.split_at(end);
    *rest = after;
    token.to_owned()
}

fn parse(rest: &mut &str) -> Node {
    if take(rest, "{") {
        let mut fields = Vec::new();
        while !take(rest, "}") {
            take(rest, ",");
            assert!(take(rest, "\""), "a key at {rest}");
            let key = until(rest, &['"']);
            assert!(take(rest, "\":"), "a colon at {rest}");
            fields.push((key, parse(rest)));
        }
        Node::Object(fields)
    } else if take(rest, "[") {
        let mut elements = Vec::new();
        while !take(rest, "]") {
            take(rest, ",");
            elements.push(parse(rest));
        }
        Node::Array(elements)
    } else if take(rest, "\"") {
        let text = until(rest, &['"']);
        assert!(take(rest, "\"") && !text.contains('\\'), "a plain string");
        Node::Text(text)
    } else {
        Node::Other(until(rest, &[',', '}', ']']))
    }
}

#[test]
fn trees_are_written_as_they_were_read() {
    let text = r#"{"a":[],"b":{"c":"x","c":[1,null,{"d":true}]},"e":{}}"#;
    let mut tree = Node::parse(text);
    assert_eq!(tree.write(), text);
    assert_eq!(tree.named("b.c[].d"), &Node::Other("true".to_owned()));
    for (name, span) in tree.spans() {
        let expected = ["b.c=x", "b.c[]=1", "b.c[]=null", "b.c[].d=true"];
        assert!(expected.contains(&format!("{name}={}", &text[span]).as_str()));
    }
}
