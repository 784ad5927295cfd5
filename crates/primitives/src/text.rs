/// Returns `text` as it can be shown to a person: at most `most` characters, with everything that
/// could move a terminal's cursor, reorder the line or hide in it written as an escape.
///
/// Names, reasons and error messages come from whoever made the file that is being checked; printed
/// raw, they could draw a verdict of their own.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most));
    let mut chars = text.chars();
    for c in chars.by_ref().take(most) {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Line and paragraph separators, marks of direction, and characters without width.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{feff}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shown_can_draw_on_a_terminal() {
        assert_eq!(printable("expected 1, got `é`", 64), "expected 1, got `é`");
        assert_eq!(printable("\u{1b}[2Jverified\r\n", 64), "\\u{1b}[2Jverified\\u{d}\\u{a}");
        assert_eq!(printable("a\u{202e}b\u{200b}", 64), "a\\u{202e}b\\u{200b}");
        assert_eq!(printable("abcd", 4), "abcd");
        assert_eq!(printable("abcde", 4), "abcd…");
    }
}
