//! Colours, tables and numbers for people.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Columns that a terminal has for a table to be made to fit it.
const MIN_COLUMNS: u16 = 40;

/// A colour, as the number of its escape sequence.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    /// Something is wrong.
    Red = 31,
    /// All is well.
    Green = 32,
    /// Worth a look.
    Yellow = 33,
}

/// Whether people look at a stream who want colours; see no-color.org.
fn colours(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !refused
}

/// A text in colour where standard output is a terminal.
pub(super) fn paint(text: &str, paint: Paint) -> String {
    coloured(text, paint, colours(&io::stdout()))
}

/// What stands before an error.
pub(super) fn error_label() -> String {
    coloured("error:", Paint::Red, colours(&io::stderr()))
}

fn coloured(text: &str, paint: Paint, on: bool) -> String {
    if on { format!("\u{1b}[{}m{text}\u{1b}[0m", paint as u8) } else { text.to_owned() }
}

/// A cell in colour where standard output is a terminal; the table knows its true width.
pub(super) fn painted(text: &str, paint: Paint) -> Cell {
    let cell = Cell::new(text);
    if !colours(&io::stdout()) {
        return cell;
    }
    cell.fg(match paint {
        Paint::Red => Color::Red,
        Paint::Green => Color::Green,
        Paint::Yellow => Color::Yellow,
    })
}

/// A plain table that fits the terminal.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().map(|title| title.to_uppercase()));
    // One that does not say how wide it is must not be taken for one without any width.
    let wide = table.width().is_some_and(|columns| columns >= MIN_COLUMNS);
    if io::stdout().is_terminal() && wide {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Writes a table without the blanks that end its lines.
pub(super) fn print_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

/// A progress bar on standard error, where that is a terminal.
pub(super) fn progress(total: u64, template: &str) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    // A template that can't be read is a plain bar, not an end.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

/// `10000` as `10,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 book`, `2 books`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// The first eight digits of an id or a hash.
pub(super) fn short(hex: &str) -> &str {
    hex.get(..8).unwrap_or(hex)
}

/// A text from elsewhere without what would steer the terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let texts = [0, 12, 999, 1_000, 10_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "12", "999", "1,000", "10,000", "1,234,567"]);
        assert_eq!((counted(1, "book"), counted(2, "book")), ("1 book".into(), "2 books".into()));
    }

    #[test]
    fn what_others_wrote_can_not_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
