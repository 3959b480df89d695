//! The lines of server-sent events (WHATWG HTML, 9.2).

use std::fmt::Write;

use bytes::Bytes;

use super::reader::Told;
use super::vector::{Place, Vector};

/// The events of what a rack told, each with the id under which its reader goes on behind it.
/// Changes that one command made at once have one position; its id comes with the last of them, so
/// that a reader that is cut off in between gets all of them again, and loses none.
pub(super) fn events(position: &mut Vector, place: Place, told: &Told) -> Bytes {
    let mut text = String::new();
    for (at, event) in told.events().iter().enumerate() {
        let ends = told.events().get(at + 1).is_none_or(|next| next.at != event.at);
        if ends {
            position.set(place, event.at);
        }
        line(&mut text, format_args!("id: {position}"));
        text.push_str(&event.text);
    }
    position.set(place, told.through());
    text.into()
}

/// A comment that keeps the connection, and where the reader is: without data it is no event, but
/// what a browser comes back with.
pub(super) fn heartbeat(position: &Vector) -> Bytes {
    let mut text = String::from(": heartbeat\n");
    let id = position.to_string();
    if !id.is_empty() {
        line(&mut text, format_args!("id: {id}"));
    }
    text.push('\n');
    text.into()
}

/// An event without its id.
pub(super) fn event(name: &str, json: &[u8]) -> String {
    let mut text = String::with_capacity(json.len() + 32);
    line(&mut text, format_args!("event: {name}"));
    // JSON has no line breaks of its own.
    line(&mut text, format_args!("data: {}\n", String::from_utf8_lossy(json)));
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{line}");
}
