//! A catalogue of made-up books.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes a CSV file that `bookmesh import` reads.
pub fn write(path: &Path, books: u64) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    writeln!(out, "title,author,isbn,year,tags").unwrap();
    for number in 0..books {
        let (author, isbn) = (number % 50_000, 9_780_000_000_000 + number);
        let year = 1900 + number % 120;
        write!(out, "The Collected Measurements; Volume {number},").unwrap();
        writeln!(out, "Author Number {author},{isbn},{year},bench").unwrap();
    }
    out.flush().unwrap();
}
