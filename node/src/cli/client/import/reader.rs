//! The file becomes batches, each within the limits of one request.

use std::fs;
use std::io::BufReader;
use std::path::Path;

use bytes::Bytes;
use csv::{ByteRecord, ReaderBuilder};
use tokio::sync::mpsc;

use super::super::catalogue::{Columns, read_row};
use super::super::failure::Failure;

/// Rows of one batch.
pub(super) const BATCH_ROWS: usize = 500;
/// Bytes of one batch: below the gateway's default limit of 1 MiB with room for what is around it.
pub(super) const BATCH_BYTES: usize = 900 * 1024;
/// Refused rows that are reported together.
const REFUSED_AT_ONCE: usize = 500;

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its line in the file, from 1; the header is line 1.
    pub(super) line: u64,
    /// Its title, as far as it could be read.
    pub(super) title: String,
}

/// A row that does not go in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Which.
    pub(super) place: Place,
    /// Why.
    pub(super) reason: String,
}

/// Rows that travel together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Where they stand, in the order of `books`.
    pub(super) places: Vec<Place>,
    /// JSON objects separated by commas.
    pub(super) books: Bytes,
    /// Bytes of the file that they take.
    pub(super) bytes: u64,
    /// Rows whose ISBN was none.
    pub(super) isbns_left_out: u64,
}

/// What the reader hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Rows to be sent.
    Batch(Batch),
    /// Rows that never leave this machine.
    Refused(Vec<Refused>),
}

/// A CSV file whose header was understood.
#[derive(Debug)]
pub(super) struct File {
    reader: csv::Reader<BufReader<fs::File>>,
    columns: Columns,
    bytes: u64,
}

/// Opens a file and reads its header.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    let unreadable = |error: std::io::Error| Failure::file("read", path, &error);
    let file = fs::File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(BufReader::new(file));
    let header = reader.byte_headers().map_err(|error| unreadable(error.into()))?;
    let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
    let columns = Columns::recognise(names.iter().map(AsRef::as_ref))
        .map_err(|what| Failure::Failed(format!("can't import {}: {what}", path.display())))?;
    Ok(File { reader, columns, bytes })
}

impl File {
    /// How large it is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The columns that mean nothing here.
    pub(super) fn unrecognised(&self) -> &[String] {
        &self.columns.unrecognised
    }

    /// Reads to the end, or until nobody takes the batches any more. Blocks.
    pub(super) fn read(mut self, out: &mpsc::Sender<Read>) -> Result<(), Failure> {
        let mut record = ByteRecord::new();
        let mut gathering = Gathering::default();
        while self.next(&mut record)? {
            let line = record.position().map_or(0, csv::Position::line);
            let end = self.reader.position().byte();
            let full = match read_row(&self.columns, &record) {
                Ok(book) => {
                    let place = Place { line, title: book.title };
                    let json = book.body.to_string();
                    gathering.take(place, &json, book.isbn_left_out, end)
                }
                Err((title, reason)) => {
                    gathering.refuse(Refused { place: Place { line, title }, reason })
                }
            };
            if full.is_some_and(|read| out.blocking_send(read).is_err()) {
                return Ok(());
            }
        }
        let end = self.reader.position().byte();
        // A receiver that is gone has an error of its own to tell.
        gathering.rest(end).into_iter().try_for_each(|read| out.blocking_send(read)).ok();
        Ok(())
    }

    fn next(&mut self, record: &mut ByteRecord) -> Result<bool, Failure> {
        self.reader.read_byte_record(record).map_err(|error| {
            let line = self.reader.position().line();
            Failure::Failed(format!("can't read on after line {line}: {error}"))
        })
    }
}

/// The batch and the refusals that are being put together.
#[derive(Debug, Default)]
struct Gathering {
    places: Vec<Place>,
    books: Vec<u8>,
    isbns_left_out: u64,
    refused: Vec<Refused>,
    taken_bytes: u64,
    end: u64,
}

impl Gathering {
    /// Takes a row; answers the batch before it, when the row has no room in it any more.
    fn take(&mut self, place: Place, json: &str, left_out: bool, end: u64) -> Option<Read> {
        let has_room =
            self.places.len() < BATCH_ROWS && self.books.len() + json.len() < BATCH_BYTES;
        let full = if has_room { None } else { self.batch() };
        if !self.places.is_empty() {
            self.books.push(b',');
        }
        self.books.extend_from_slice(json.as_bytes());
        self.places.push(place);
        self.isbns_left_out += u64::from(left_out);
        self.end = end;
        full
    }

    fn refuse(&mut self, refused: Refused) -> Option<Read> {
        self.refused.push(refused);
        let full = self.refused.len() >= REFUSED_AT_ONCE;
        full.then(|| Read::Refused(std::mem::take(&mut self.refused)))
    }

    fn rest(mut self, end: u64) -> Vec<Read> {
        self.end = end;
        let refused = std::mem::take(&mut self.refused);
        let refused = (!refused.is_empty()).then_some(Read::Refused(refused));
        self.batch().into_iter().chain(refused).collect()
    }

    fn batch(&mut self) -> Option<Read> {
        if self.places.is_empty() {
            return None;
        }
        let bytes = self.end.saturating_sub(self.taken_bytes);
        self.taken_bytes = self.end;
        Some(Read::Batch(Batch {
            places: std::mem::take(&mut self.places),
            books: std::mem::take(&mut self.books).into(),
            bytes,
            isbns_left_out: std::mem::take(&mut self.isbns_left_out),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::Value;

    use super::*;

    fn read(text: &str) -> Vec<Read> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let (out, mut waiting) = mpsc::channel(1_000);
        open(file.path()).unwrap().read(&out).unwrap();
        drop(out);
        std::iter::from_fn(|| waiting.blocking_recv()).collect()
    }

    fn batches(reads: &[Read]) -> Vec<&Batch> {
        reads.iter().filter_map(|r| if let Read::Batch(b) = r { Some(b) } else { None }).collect()
    }

    #[test]
    fn every_row_is_in_exactly_one_batch_within_both_limits() {
        let long = "x".repeat(1_800);
        let rows: String = (0..1_203).map(|n| format!("T{n} {long},A\n")).collect();
        let reads = read(&format!("title,author\n{}", rows.replace(&long, "")));
        let counts: Vec<_> = batches(&reads).iter().map(|batch| batch.places.len()).collect();
        assert_eq!(counts, [500, 500, 203]);

        let author = "a".repeat(2_000);
        let rows: String = (0..1_203).map(|n| format!("T{n},{author}\n")).collect();
        let reads = read(&format!("title,author\n{rows}"));
        let mut titles = Vec::new();
        for batch in batches(&reads) {
            assert!(batch.books.len() <= BATCH_BYTES);
            let list = format!("[{}]", std::str::from_utf8(&batch.books).unwrap());
            let list: Vec<Value> = serde_json::from_str(&list).unwrap();
            assert_eq!(list.len(), batch.places.len());
            titles.extend(list.iter().map(|b| b["info"]["name"].as_str().unwrap().to_owned()));
        }
        let expected: Vec<_> = (0..1_203).map(|n| format!("T{n}")).collect();
        assert_eq!(titles, expected);
    }

    #[test]
    fn a_refused_row_names_its_line_even_after_fields_with_line_breaks() {
        let reads = read("title,author\n\"two\nlines\",A\n,B\nC,D\nshort\n");
        let Some(Read::Refused(refused)) = reads.last() else { panic!("none refused") };
        let lines: Vec<_> = refused.iter().map(|refused| refused.place.line).collect();
        assert_eq!(lines, [4, 6]);
        assert_eq!(batches(&reads)[0].places[0].title, "two lines");
    }

    #[test]
    fn the_bytes_of_all_batches_are_the_files() {
        let rows: String = (0..900).map(|n| format!("T{n},A\n")).collect();
        let text = format!("title,author\n{rows}");
        let total: u64 = batches(&read(&text)).iter().map(|batch| batch.bytes).sum();
        assert_eq!(total, text.len() as u64);
    }
}
