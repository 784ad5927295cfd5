//! The protobuf messages of a file, counted before they are read.
//!
//! A message of two bytes becomes a structure of hundreds: reading without a count would let a small
//! file take a hundred times its size. Counted is every field of the messages that repeat; what is
//! packed (numbers, raw data) takes at most eight times its bytes.

use crate::error::CompileError;

/// Most fields of a file.
const MAX_FIELDS: usize = 1 << 20;
/// Deepest nesting of the messages and groups looked into: graphs in attributes of nodes, and so on. Who
/// reads the file refuses what is deeper than 100.
const MAX_DEPTH: u32 = 128;

/// The messages that hold others.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    /// Types of inputs, annotations: looked into as far as they can be read.
    Other,
}

impl Message {
    /// The kind of a field, by its number in `onnx.proto`; `None` if it is text or numbers.
    const fn field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Some(Self::Tensor),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Model, 8 | 14 | 20 | 25)
            | (Self::Graph, 11..=15)
            | (Self::Attribute, 14 | 15 | 22 | 23) => Some(Self::Other),
            (Self::Other, _) => Some(Self::Other),
            _ => None,
        }
    }
}

/// Refuses a file of more than `2^20` fields.
pub(crate) fn check_fields(bytes: &[u8]) -> Result<(), CompileError> {
    let mut count = 0;
    count_fields(bytes, Message::Model, 0, &mut count);
    if count <= MAX_FIELDS {
        Ok(())
    } else {
        let what = "fields of messages, as far as they were counted,";
        Err(CompileError::Limit { what, limit: MAX_FIELDS, got: count })
    }
}

/// Counts fields until the bytes end, or are no message, or there are too many.
fn count_fields(mut bytes: &[u8], message: Message, depth: u32, count: &mut usize) -> Option<()> {
    while !bytes.is_empty() && *count <= MAX_FIELDS {
        let (tag, rest) = varint(bytes)?;
        *count += 1;
        let behind = skip(tag, rest, depth)?;
        if let Some(inner) = message.field(tag >> 3).filter(|_| tag & 7 == 2 && depth < MAX_DEPTH) {
            let (_, field) = varint(rest)?;
            let field = field.get(..field.len() - behind.len())?;
            // What is no message counts as far as it looks like one.
            let _ = count_fields(field, inner, depth + 1, count);
        }
        bytes = behind;
    }
    Some(())
}

/// Returns what stands behind the value of a field. Groups, of which no message has any, are stepped over
/// by who reads the file: what stands behind one is read.
fn skip(tag: u64, bytes: &[u8], depth: u32) -> Option<&[u8]> {
    match tag & 7 {
        0 => Some(varint(bytes)?.1),
        1 => bytes.get(8..),
        2 => {
            let (length, rest) = varint(bytes)?;
            rest.get(usize::try_from(length).ok()?..)
        }
        3 if depth < MAX_DEPTH => {
            let (mut inner, mut rest) = varint(bytes)?;
            while inner & 7 != 4 {
                (inner, rest) = varint(skip(inner, rest, depth + 1)?)?;
            }
            (inner == tag + 1).then_some(rest)
        }
        5 => bytes.get(4..),
        _ => None,
    }
}

/// Reads a variable-length integer; bits above 64 are lost.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at_checked(length)?;
    let value = digits.iter().rev().fold(0, |value, byte| (value << 7) | u64::from(byte & 0x7f));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with one field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut message = vec![(number << 3) | 2];
        let mut length = bytes.len();
        while length >= 128 {
            message.push(u8::try_from(length & 127).unwrap() | 128);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap());
        message.extend_from_slice(bytes);
        message
    }

    #[test]
    fn a_file_of_many_small_messages_is_refused_before_it_is_read() {
        let nodes: Vec<u8> = field(1, &[]).repeat(MAX_FIELDS);
        let refused = check_fields(&field(7, &nodes)).unwrap_err();
        let CompileError::Limit { limit, got, .. } = refused else { panic!("{refused}") };
        assert_eq!((limit, got), (MAX_FIELDS, MAX_FIELDS + 1));
        // One less fits: the graph is a field, too.
        let nodes = field(1, &[]).repeat(MAX_FIELDS - 1);
        assert_eq!(check_fields(&field(7, &nodes)), Ok(()));
        // Also in a graph that is an attribute of a node of the graph.
        let names = field(5, &field(6, &field(1, &field(1, &[]).repeat(MAX_FIELDS))));
        assert!(check_fields(&field(7, &field(1, &names))).is_err());
    }

    /// Who reads the file steps over groups, which no message has: what stands behind one is read, too.
    #[test]
    fn a_group_hides_nothing() {
        let nodes = field(7, &field(1, &[]).repeat(MAX_FIELDS));
        let (begin, end) = ((15 << 3) | 3, (15 << 3) | 4);
        let inside = [0x08, 1, 0x3b, 0x3c, 0x12, 2, 0xff, 0xff];
        for group in [&[][..], &inside] {
            let group = [&[begin], group, &[end][..]].concat();
            assert_eq!(check_fields(&group), Ok(()));
            assert!(check_fields(&[&group, nodes.as_slice()].concat()).is_err());
        }
    }

    /// A graph in an attribute of a node of a graph, and so on, as deep as messages are read.
    #[test]
    fn fields_count_however_deep_they_are() {
        let mut graph = field(1, &field(5, &[]).repeat(MAX_FIELDS));
        for _ in 0..31 {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        assert!(check_fields(&field(7, &graph)).is_err());
    }

    #[test]
    fn raw_data_is_one_field() {
        let tensor = field(5, &field(9, &vec![0x0a; 4 << 20]));
        assert_eq!(check_fields(&field(7, &tensor)), Ok(()));
    }

    #[test]
    fn bytes_that_are_no_message_end_the_count() {
        for bytes in [&[0xff; 30][..], &[0x0a, 0x7f], &[0x0b], &[0x09, 1], &[0x3a, 0x80]] {
            assert_eq!(check_fields(bytes), Ok(()));
        }
    }
}
