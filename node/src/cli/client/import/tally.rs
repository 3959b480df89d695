//! What became of the rows.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::failure::Failure;
use super::super::terminal::{counted, grouped, harmless};
use super::reader::Refused;
use super::sender::Outcome;

/// Refused rows that are shown on the terminal.
const MAX_SHOWN: usize = 20;

/// Counts rows, and keeps the refused ones.
#[derive(Debug)]
pub(super) struct Tally {
    created: u64,
    skipped: u64,
    refused: u64,
    isbns_left_out: u64,
    shown: Vec<Refused>,
    rejects: Option<(PathBuf, csv::Writer<fs::File>)>,
}

impl Tally {
    /// Nothing yet. Refused rows go to `rejects` too.
    pub(super) fn new(rejects: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| -> Result<_, Failure> {
            let file =
                fs::File::create(path).map_err(|error| Failure::file("write", path, &error))?;
            let mut file = csv::Writer::from_writer(file);
            write(path, &mut file, ["line", "title", "reason"])?;
            Ok((path.to_owned(), file))
        };
        let rejects = rejects.map(open).transpose()?;
        let shown = Vec::new();
        Ok(Self { created: 0, skipped: 0, refused: 0, isbns_left_out: 0, shown, rejects })
    }

    /// Adds what became of some rows.
    pub(super) fn add(&mut self, outcome: Outcome) -> Result<(), Failure> {
        self.created += outcome.created;
        self.skipped += outcome.skipped;
        self.isbns_left_out += outcome.isbns_left_out;
        for refused in outcome.refused {
            self.refused += 1;
            if let Some((path, file)) = &mut self.rejects {
                let line = refused.place.line.to_string();
                write(path, file, [&line, &refused.place.title, &refused.reason])?;
            }
            if self.shown.len() < MAX_SHOWN {
                self.shown.push(refused);
            }
        }
        Ok(())
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.created + self.skipped + self.refused
    }

    /// Whether every row went in or was there.
    pub(super) fn is_clean(&self) -> bool {
        self.refused == 0
    }

    /// Tells what is to be told: refused rows on standard error, the summary on standard output.
    pub(super) fn finish(
        &mut self,
        unrecognised: &[String],
        time: Duration,
    ) -> Result<(), Failure> {
        if let Some((path, file)) = &mut self.rejects {
            file.flush().map_err(|error| Failure::file("write", path, &error))?;
        }
        let mut err = io::stderr().lock();
        self.notes(&mut err, unrecognised)?;
        Ok(writeln!(io::stdout(), "{}", self.summary(time))?)
    }

    fn summary(&self, time: Duration) -> String {
        format!(
            "{}: {} created, {} skipped, {} refused in {:.1} s",
            counted(self.rows(), "book"),
            grouped(self.created),
            grouped(self.skipped),
            grouped(self.refused),
            time.as_secs_f64(),
        )
    }

    fn notes(&self, out: &mut impl Write, unrecognised: &[String]) -> io::Result<()> {
        for Refused { place, reason } in &self.shown {
            let title = harmless(&place.title);
            writeln!(out, "line {}: {title:?}: {}", place.line, harmless(reason))?;
        }
        let more = self.refused.saturating_sub(self.shown.len() as u64);
        if more > 0 {
            let how = if self.rejects.is_some() { "" } else { "; --rejects FILE keeps them all" };
            writeln!(out, "and {} more{how}", counted(more, "refused row"))?;
        }
        if self.isbns_left_out > 0 {
            let isbns = counted(self.isbns_left_out, "ISBN");
            writeln!(out, "note: {isbns} left out: digits were lost, or the check digit is wrong")?;
        }
        if !unrecognised.is_empty() {
            let names = harmless(&unrecognised.join(", "));
            writeln!(out, "note: columns that are not imported: {names}")?;
        }
        Ok(())
    }
}

fn write(path: &Path, file: &mut csv::Writer<fs::File>, row: [&str; 3]) -> Result<(), Failure> {
    file.write_record(row).map_err(|error| Failure::file("write", path, &error.into()))
}

#[cfg(test)]
mod tests {
    use super::super::reader::Place;
    use super::*;

    fn refused(line: u64) -> Refused {
        Refused { place: Place { line, title: "T".into() }, reason: "no author".into() }
    }

    #[test]
    fn the_summary_counts_every_row_and_the_list_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejects.csv");
        let mut tally = Tally::new(Some(&path)).unwrap();
        let rows = (2..32).map(refused).collect();
        let outcome = Outcome { created: 9_970, skipped: 0, refused: rows, ..Outcome::default() };
        tally.add(outcome).unwrap();
        assert!(!tally.is_clean());
        let summary = tally.summary(Duration::from_millis(1_900));
        assert_eq!(summary, "10,000 books: 9,970 created, 0 skipped, 30 refused in 1.9 s");
        let mut notes = Vec::new();
        tally.notes(&mut notes, &["work_id".into()]).unwrap();
        let notes = String::from_utf8(notes).unwrap();
        assert!(notes.starts_with("line 2: \"T\": no author\n"), "{notes}");
        assert!(notes.contains("and 10 refused rows more") && notes.contains("work_id"), "{notes}");
        tally.finish(&[], Duration::ZERO).unwrap();
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!((kept.lines().count(), kept.lines().nth(1)), (31, Some("2,T,no author")));
    }
}
