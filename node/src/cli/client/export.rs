//! `bookmesh export`: all books, page by page.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::catalogue::{Column, write_row};
use super::failure::Failure;
use super::http::Api;
use super::terminal::{counted, progress};
use super::views::Book;
use crate::cli::{ExportArgs, ExportFormat};

/// Books of one page: what a list gives at most.
const PAGE: u64 = 1_000;
const BAR: &str = "{elapsed:>4} {bar:40.green} {percent:>3}%  {human_pos} of {human_len}";

/// Writes all books.
pub(super) async fn run(args: &ExportArgs) -> Result<(), Failure> {
    let api = Api::new(&args.server.url)?;
    let Some(path) = &args.to else {
        let mut out = BufWriter::new(io::stdout().lock());
        pages(&api, args, &mut out).await?;
        return Ok(out.flush()?);
    };
    let path = &target(path).map_err(|error| Failure::file("write", path, &error))?;
    let whole = Whole::create(path).map_err(|error| Failure::file("write", path, &error))?;
    let mut out = BufWriter::new(&whole.file);
    let count = pages(&api, args, &mut out).await?;
    out.flush().map_err(|error| Failure::file("write", path, &error))?;
    drop(out);
    whole.put_in_place(path).map_err(|error| Failure::file("write", path, &error))?;
    Ok(writeln!(io::stderr(), "{} in {}", counted(count, "book"), path.display())?)
}

/// Each page begins after the last id of the one before, so what is written meanwhile can't shift
/// a book out of sight.
async fn pages(api: &Api, args: &ExportArgs, out: &mut impl Write) -> Result<u64, Failure> {
    if args.format == ExportFormat::Csv {
        write_csv(out, &Column::ALL.map(|column| column.names()[0].to_owned()))?;
    }
    let bar = progress(0, BAR);
    let (mut count, mut after) = (0, None);
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(after.take().map(|id| ("after", id)));
        query.extend(args.rack.as_ref().map(|rack| ("rack_id", rack.to_string())));
        let answer = api.get("/books", &query).await?;
        if let Some(total) = answer.total {
            bar.set_length(total);
        }
        let things: Vec<Value> = answer.typed()?;
        let Some(last) = things.last() else {
            bar.finish_and_clear();
            return Ok(count);
        };
        after = last.get("id").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            return Err(Failure::Failed("the gateway listed a book without an id".into()));
        }
        count += things.len() as u64;
        things.into_iter().try_for_each(|thing| write_thing(out, args.format, thing))?;
        bar.set_position(count);
    }
}

fn write_thing(out: &mut impl Write, format: ExportFormat, thing: Value) -> Result<(), Failure> {
    if format == ExportFormat::Jsonl {
        return Ok(writeln!(out, "{thing}")?);
    }
    let book: Book = serde_json::from_value(thing).map_err(|error| {
        Failure::Failed(format!("the gateway listed something that is no book: {error}"))
    })?;
    write_csv(out, &write_row(&book))
}

fn write_csv(out: &mut impl Write, row: &[String]) -> Result<(), Failure> {
    let mut writer = csv::WriterBuilder::new().from_writer(out);
    writer.write_record(row).map_err(io::Error::from)?;
    Ok(writer.flush()?)
}

/// A file that is complete or not there: it is made under another name beside it.
#[derive(Debug)]
struct Whole {
    file: fs::File,
    unfinished: PathBuf,
    placed: bool,
}

/// Where the file goes: where a link leads, and never in the place of a device or a pipe.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => fs::canonicalize(path),
        Ok(_) => {
            Err(io::Error::other("it is there and no file; leave --to out to write to a pipe"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

impl Whole {
    fn create(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let unfinished = path.with_file_name(name);
        Ok(Self { file: fs::File::create(&unfinished)?, unfinished, placed: false })
    }

    fn put_in_place(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.unfinished, path)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.placed {
            // Whoever interrupted the export knows that there is nothing to keep.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_and_a_device_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(target(&link).unwrap(), fs::canonicalize(&file).unwrap());
        assert!(target(Path::new("/dev/null")).is_err());
        assert!(target(directory.path()).is_err());
        assert!(target(&directory.path().join("new")).is_ok());
    }

    #[test]
    fn an_interrupted_export_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("books.csv");
        fs::write(&path, "old").unwrap();
        drop(Whole::create(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let mut whole = Whole::create(&path).unwrap();
        whole.file.write_all(b"new").unwrap();
        whole.put_in_place(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
