//! A strict reader of CBOR (RFC 8949), for what a Nitro document is made of.
//!
//! It reads what its caller asks for, copies nothing, and every length is held against the bytes that
//! are there. Accepted are integers, byte and text strings, arrays, maps, tags and null. Arrays and maps
//! may be of indefinite length, as the Nitro Secure Module's maps have been since 2025; strings may not
//! be, nor may a head be longer than it needs to be (section 4.2.1). So a document has one spelling, but
//! for the lengths of its arrays and maps.

use crate::{Check, Refusal};

/// How deep what is skipped may be nested.
pub(super) const MAX_DEPTH: u8 = 8;

/// Reads from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What an item begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Head {
    Unsigned(u64),
    Negative(u64),
    Bytes(u64),
    Text(u64),
    /// How many items, or up to a break.
    Array(Option<u64>),
    /// How many pairs, or up to a break.
    Map(Option<u64>),
    Tag(u64),
    Null,
    Break,
}

/// What is still to come of an array or a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items {
    left: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Reads an unsigned integer.
    pub(super) fn unsigned(&mut self, what: &str) -> Result<u64, Refusal> {
        let start = self.at;
        match self.head()? {
            Head::Unsigned(value) => Ok(value),
            head => Err(wrong(start, what, head.name())),
        }
    }

    /// Reads an integer; one that does not fit is refused.
    pub(super) fn integer(&mut self, what: &str) -> Result<i64, Refusal> {
        let start = self.at;
        let value = match self.head()? {
            Head::Unsigned(value) => i64::try_from(value).ok(),
            // Minus one minus the argument: the complement.
            Head::Negative(value) => i64::try_from(value).ok().map(|value| !value),
            head => return Err(wrong(start, what, head.name())),
        };
        value.ok_or_else(|| wrong(start, what, "an integer of more than 64 bits"))
    }

    /// Reads a byte string.
    pub(super) fn bytes(&mut self, what: &str) -> Result<&'a [u8], Refusal> {
        let start = self.at;
        match self.head()? {
            Head::Bytes(length) => self.take(length, what),
            head => Err(wrong(start, what, head.name())),
        }
    }

    /// Reads a byte string, or null.
    pub(super) fn optional_bytes(&mut self, what: &str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut ahead = *self;
        if ahead.head()? == Head::Null {
            *self = ahead;
            return Ok(None);
        }
        self.bytes(what).map(Some)
    }

    /// Reads a text string.
    pub(super) fn text(&mut self, what: &str) -> Result<&'a str, Refusal> {
        let start = self.at;
        match self.head()? {
            Head::Text(length) => std::str::from_utf8(self.take(length, what)?)
                .map_err(|_| wrong(start, what, "text that is not UTF-8")),
            head => Err(wrong(start, what, head.name())),
        }
    }

    /// Reads a tag, if there is one.
    pub(super) fn tag(&mut self) -> Result<Option<u64>, Refusal> {
        let mut ahead = *self;
        let Head::Tag(tag) = ahead.head()? else { return Ok(None) };
        *self = ahead;
        Ok(Some(tag))
    }

    /// Reads the beginning of an array.
    pub(super) fn array(&mut self, what: &str) -> Result<Items, Refusal> {
        let start = self.at;
        match self.head()? {
            Head::Array(left) => Ok(Items { left }),
            head => Err(wrong(start, what, head.name())),
        }
    }

    /// Reads the beginning of a map.
    pub(super) fn map(&mut self, what: &str) -> Result<Items, Refusal> {
        let start = self.at;
        match self.head()? {
            Head::Map(left) => Ok(Items { left }),
            head => Err(wrong(start, what, head.name())),
        }
    }

    /// Says whether an array has another item, or a map another pair, and reads the break after the
    /// last.
    pub(super) fn has_more(&mut self, items: &mut Items) -> Result<bool, Refusal> {
        if let Some(left) = &mut items.left {
            let has_more = *left > 0;
            *left = left.saturating_sub(1);
            return Ok(has_more);
        }
        let mut ahead = *self;
        if ahead.head()? == Head::Break {
            *self = ahead;
            return Ok(false);
        }
        Ok(true)
    }

    /// Passes over an item, whatever it is.
    pub(super) fn skip(&mut self, depth: u8) -> Result<(), Refusal> {
        let Some(depth) = depth.checked_sub(1) else {
            let most = format!("at most {MAX_DEPTH} levels");
            return Err(wrong(self.at, &most, "more"));
        };
        match self.head()? {
            Head::Unsigned(_) | Head::Negative(_) | Head::Null => Ok(()),
            Head::Bytes(length) | Head::Text(length) => self.take(length, "a string").map(|_| ()),
            Head::Tag(_) => self.skip(depth),
            Head::Array(left) => {
                let mut items = Items { left };
                while self.has_more(&mut items)? {
                    self.skip(depth)?;
                }
                Ok(())
            }
            Head::Map(left) => {
                let mut items = Items { left };
                while self.has_more(&mut items)? {
                    self.skip(depth)?;
                    self.skip(depth)?;
                }
                Ok(())
            }
            Head::Break => Err(wrong(self.at, "an item", Head::Break.name())),
        }
    }

    /// Refuses bytes after the last item.
    pub(super) fn end(self, what: &str) -> Result<(), Refusal> {
        match self.bytes.len().saturating_sub(self.at) {
            0 => Ok(()),
            more => Err(wrong(self.at, what, &format!("{more} bytes more"))),
        }
    }

    fn head(&mut self) -> Result<Head, Refusal> {
        let start = self.at;
        let [initial] = self.array_of("an item")?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = match (major, info) {
            (_, 0..=23) => Some(u64::from(info)),
            (0..=6, 24) => Some(u64::from(u8::from_be_bytes(self.array_of("a head")?))),
            (0..=6, 25) => Some(u64::from(u16::from_be_bytes(self.array_of("a head")?))),
            (0..=6, 26) => Some(u64::from(u32::from_be_bytes(self.array_of("a head")?))),
            (0..=6, 27) => Some(u64::from_be_bytes(self.array_of("a head")?)),
            (2 | 3, 31) => return Err(wrong(start, "a string of definite length", "chunks")),
            (4 | 5 | 7, 31) => None,
            _ => return Err(wrong(start, "an item", &format!("the head {initial:#04x}"))),
        };
        if argument.is_some_and(|argument| info >= 24 && argument < least(info)) {
            return Err(wrong(start, "the shortest head", &format!("{initial:#04x}")));
        }
        match (major, argument) {
            (0, Some(value)) => Ok(Head::Unsigned(value)),
            (1, Some(value)) => Ok(Head::Negative(value)),
            (2, Some(length)) => Ok(Head::Bytes(length)),
            (3, Some(length)) => Ok(Head::Text(length)),
            (4, left) => Ok(Head::Array(left)),
            (5, left) => Ok(Head::Map(left)),
            (6, Some(tag)) => Ok(Head::Tag(tag)),
            (7, Some(22)) => Ok(Head::Null),
            (7, None) => Ok(Head::Break),
            _ => Err(wrong(start, "an item", &format!("the head {initial:#04x}"))),
        }
    }

    fn array_of<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((taken, _)) = rest.split_first_chunk() else {
            return Err(wrong(self.at, what, "the end"));
        };
        self.at += N;
        Ok(*taken)
    }

    fn take(&mut self, length: u64, what: &str) -> Result<&'a [u8], Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let Some(taken) = taken else {
            let expected = format!("{what} of {length} bytes");
            return Err(wrong(self.at, &expected, &format!("{} bytes to the end", rest.len())));
        };
        self.at += taken.len();
        Ok(taken)
    }
}

impl Head {
    const fn name(self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an unsigned integer",
            Self::Negative(_) => "a negative integer",
            Self::Bytes(_) => "a byte string",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Tag(_) => "a tag",
            Self::Null => "null",
            Self::Break => "a break",
        }
    }
}

/// The least argument for which a head has this many more bytes.
const fn least(info: u8) -> u64 {
    match info {
        24 => 24,
        25 => 1 << 8,
        26 => 1 << 16,
        _ => 1 << 32,
    }
}

fn wrong(at: usize, expected: &str, got: &str) -> Refusal {
    Refusal::new(Check::EvidenceEncoding, format!("{expected} at byte {at}"), got)
}

/// Writes the head of a byte string.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_head(out, 2, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

/// Writes the shortest head of a major type and an argument.
pub(super) fn put_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    let [.., low] = bytes;
    let (info, length) = match argument {
        0..24 => return out.push(major | low),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    out.push(major | info);
    out.extend(bytes.iter().skip(bytes.len() - length));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skip(bytes: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(bytes);
        reader.skip(MAX_DEPTH).and_then(|()| reader.end("the end")).map_err(|error| error.expected)
    }

    #[test]
    fn items_are_passed_over() {
        for good in [
            &[0x00][..],
            &[0x38, 0x18],
            &[0x41, 0xff],
            &[0x61, b'a'],
            &[0xf6],
            &[0xc1, 0x00],
            &[0x80],
            &[0x9f, 0xff],
            &[0xbf, 0x00, 0x00, 0xff],
            &[0xa1, 0x00, 0x9f, 0x00, 0x80, 0xff],
            &[0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x00],
        ] {
            assert_eq!(skip(good), Ok(()), "{good:02x?}");
        }
    }

    #[test]
    fn what_has_another_spelling_or_none_is_refused() {
        for (bad, expected) in [
            (&[][..], "an item at byte 0"),
            (&[0x18, 0x17], "the shortest head at byte 0"),
            (&[0x19, 0x00, 0xff], "the shortest head at byte 0"),
            (&[0x1a, 0x00, 0x00, 0xff, 0xff], "the shortest head at byte 0"),
            (&[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], "the shortest head at byte 0"),
            (&[0x58, 0x01, 0x00], "the shortest head at byte 0"),
            (&[0x19, 0x00], "a head at byte 1"),
            (&[0x1c], "an item at byte 0"),
            (&[0x1f], "an item at byte 0"),
            (&[0xdf], "an item at byte 0"),
            (&[0xf5], "an item at byte 0"),
            (&[0xf7], "an item at byte 0"),
            (&[0xf8, 0x16], "an item at byte 0"),
            (&[0xf9, 0x00, 0x00], "an item at byte 0"),
            (&[0x5f, 0x41, 0x00, 0xff], "a string of definite length at byte 0"),
            (&[0x7f, 0x61, b'a', 0xff], "a string of definite length at byte 0"),
            (&[0x42, 0x00], "a string of 2 bytes at byte 1"),
            (
                &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                "a string of 18446744073709551615 bytes at byte 9",
            ),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "an item at byte 9"),
            (&[0x9f, 0x00], "an item at byte 2"),
            (&[0xff], "an item at byte 1"),
            (&[0xbf, 0x00, 0xff], "an item at byte 3"),
            (&[0x81, 0xff], "an item at byte 2"),
            (&[0x00, 0x00], "the end at byte 1"),
            (&[0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x00], "at most 8 levels at byte 8"),
            (&[0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0x00], "at most 8 levels at byte 8"),
        ] {
            assert_eq!(skip(bad), Err(expected.to_owned()), "{bad:02x?}");
        }
    }

    #[test]
    fn integers_are_read_with_their_sign() {
        let integer = |bytes: &[u8]| Reader::new(bytes).integer("an integer").ok();
        assert_eq!(integer(&[0x38, 0x22]), Some(-35));
        assert_eq!(integer(&[0x17]), Some(23));
        let limit = [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(integer(&[&[0x1b][..], &limit].concat()), Some(i64::MAX));
        assert_eq!(integer(&[&[0x3b][..], &limit].concat()), Some(i64::MIN));
        assert_eq!(integer(&[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(integer(&[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_head_is_read_as_it_was_written(argument: u64) {
            for argument in [argument, argument >> 32, argument >> 48, argument >> 56, argument >> 60] {
                let mut bytes = Vec::new();
                put_head(&mut bytes, 0, argument);
                let mut reader = Reader::new(&bytes);
                prop_assert_eq!(reader.unsigned("it"), Ok(argument));
                prop_assert_eq!(reader.end("the end"), Ok(()));
            }
        }

        #[test]
        fn passing_over_anything_ends(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = skip(&bytes);
        }
    }
}
