//! The arguments of the commands that do their work and end.

use std::path::PathBuf;

use bookmesh_rpc::api::{RackId, Status, ThingId};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::{RackChange, SettingsArgs};
use crate::config::{Overrides, Role};

/// Where a gateway is expected.
pub const DEFAULT_URL: &str = "http://127.0.0.1:3000";

/// A command that does its work and ends.
#[derive(Subcommand, Clone, Debug)]
pub enum ClientCommand {
    /// Show racks, members and nodes.
    Status(StatusArgs),
    /// List, read and change books.
    #[command(subcommand)]
    Book(BookCommand),
    /// Retire or recover a rack.
    #[command(skip)]
    Rack(RackChange),
    /// Show or change what holds for the whole mesh.
    Settings(SettingsArgs),
    /// Bring in many books from a CSV file.
    Import(ImportArgs),
    /// Write all books to a file or to standard output.
    Export(ExportArgs),
    /// Follow or verify a rack's append-only log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Make and show keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show what a node would be told, and by whom.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Exit 0 when a node is ready, else 1.
    Health(HealthArgs),
    /// Print shell completions.
    #[command(after_help = "Example:\n  bookmesh completions bash > \
                            ~/.local/share/bash-completion/completions/bookmesh")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Which gateway is asked.
#[derive(Args, Clone, Debug)]
pub struct Server {
    /// The gateway's address.
    #[arg(long, env = "BOOKMESH_URL", default_value = DEFAULT_URL, value_name = "URL")]
    pub url: String,
}

/// Arguments of `status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh status --watch")]
pub struct StatusArgs {
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
    /// Draw it again every second until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// The HTTP API from the shell.
#[derive(Subcommand, Clone, Debug)]
pub enum BookCommand {
    /// List books.
    #[command(after_help = "Example:\n  bookmesh book ls --author 'Jane Austen' --limit 10")]
    Ls(ListArgs),
    /// Show one book.
    #[command(after_help = "Example:\n  bookmesh book get 1")]
    Get(OneBook),
    /// Add a book.
    #[command(after_help = "Example:\n  bookmesh book add --name Emma --author 'Jane Austen' \
                            --tag classic --info year:=1815")]
    Add(AddArgs),
    /// Change a book.
    #[command(after_help = "Example:\n  bookmesh book update 1 --tag classic --unset price")]
    Update(UpdateArgs),
    /// Remove a book; its history stays in the log.
    #[command(after_help = "Example:\n  bookmesh book rm 1")]
    Rm(OneBook),
    /// Check a book out.
    #[command(after_help = "Example:\n  bookmesh book checkout 1 --user ada")]
    Checkout {
        /// Which, and where.
        #[command(flatten)]
        book: OneBook,
        /// Who takes it.
        #[arg(long)]
        user: Option<String>,
    },
    /// Return a book.
    #[command(after_help = "Example:\n  bookmesh book return 1")]
    Return(OneBook),
}

/// One book of a gateway.
#[derive(Args, Clone, Debug)]
pub struct OneBook {
    /// The book's id.
    pub id: ThingId,
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `book ls`.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
    /// Only this rack.
    #[arg(long)]
    pub rack: Option<RackId>,
    /// Only with this tag; may be repeated.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// Only this author, whatever the case.
    #[arg(long)]
    pub author: Option<String>,
    /// Only with these words in name or author.
    #[arg(long, short)]
    pub query: Option<String>,
    /// Only this status.
    #[arg(long, value_parser = PossibleValuesParser::new(
        [Status::Available.name(), Status::CheckedOut.name()]))]
    pub status: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Only ids above this one.
    #[arg(long, value_name = "ID")]
    pub after: Option<ThingId>,
    /// Let any replica answer, even one that is behind.
    #[arg(long)]
    pub eventual: bool,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `book add`.
#[derive(Args, Clone, Debug)]
pub struct AddArgs {
    /// The title.
    #[arg(long)]
    pub name: String,
    /// The author.
    #[arg(long)]
    pub author: String,
    /// A tag; may be repeated.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// Further keys: `key=text` or `key:=json`; may be repeated.
    #[arg(long = "info", value_name = "KEY=TEXT")]
    pub info: Vec<String>,
    /// The rack that takes it, instead of the least filled one.
    #[arg(long)]
    pub rack: Option<RackId>,
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `book update`.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "author", "tags", "no_tags", "info", "unset"]))]
pub struct UpdateArgs {
    /// Which, and where.
    #[command(flatten)]
    pub book: OneBook,
    /// A new title.
    #[arg(long)]
    pub name: Option<String>,
    /// A new author.
    #[arg(long)]
    pub author: Option<String>,
    /// All tags from now on; may be repeated.
    #[arg(long = "tag", conflicts_with = "no_tags")]
    pub tags: Vec<String>,
    /// No tags from now on.
    #[arg(long)]
    pub no_tags: bool,
    /// Further keys: `key=text` or `key:=json`; may be repeated.
    #[arg(long = "info", value_name = "KEY=TEXT")]
    pub info: Vec<String>,
    /// Remove a further key; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub unset: Vec<String>,
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Columns are known by their usual names: title or name, author or authors, \
    isbn, isbn13, year or original_publication_year, language or language_code, price, tags \
    (separated by ;), info (a JSON object of further keys).\nImporting the same file again adds \
    nothing twice.\n\nExample:\n  bookmesh import examples/data/books.csv --rack book-rack-001"
)]
pub struct ImportArgs {
    /// A CSV file in UTF-8 with a header row.
    pub file: PathBuf,
    /// The rack that takes the books; the first book rack unless it is given.
    #[arg(long)]
    pub rack: Option<RackId>,
    /// Write all refused rows to this CSV file: line, title, reason.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
}

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// What `import` reads.
    Csv,
    /// One thing a line, complete.
    Jsonl,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh export --to books.csv\n  \
                        bookmesh export --format jsonl | jq .info.name")]
pub struct ExportArgs {
    /// The file, put in place once it is complete; standard output without it.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// How it looks.
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    pub format: ExportFormat,
    /// Only this rack.
    #[arg(long)]
    pub rack: Option<RackId>,
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
}

/// The append-only log.
#[derive(Subcommand, Clone, Debug)]
pub enum LogCommand {
    /// Print committed records as they come, until Ctrl-C.
    #[command(after_help = "Example:\n  bookmesh log tail --rack book-rack-001")]
    Tail {
        /// Whose log.
        #[arg(long)]
        rack: RackId,
        /// The first index; ten before the end unless it is given.
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// For programs.
        #[arg(long)]
        json: bool,
        /// The gateway.
        #[command(flatten)]
        server: Server,
    },
    /// Check the hash chain from the first record to the last.
    #[command(after_help = "Example:\n  bookmesh log verify --rack book-rack-001")]
    Verify {
        /// Whose log.
        #[arg(long)]
        rack: RackId,
        /// For programs.
        #[arg(long)]
        json: bool,
        /// The gateway.
        #[command(flatten)]
        server: Server,
    },
}

/// Keys.
#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
    /// Make a node key; a file that is there stays as it is.
    #[command(after_help = "Example:\n  bookmesh keys new node.key")]
    New {
        /// The file to make, readable by its owner only.
        file: PathBuf,
    },
    /// Print the peer id of a node key, or of every key in a data directory.
    #[command(after_help = "Example:\n  bookmesh keys show ./bookmesh-data")]
    Show {
        /// A key file, a slot or a data directory.
        path: PathBuf,
    },
    /// Print a new mesh key.
    #[command(after_help = "Example:\n  (umask 077; bookmesh keys mesh > mesh.key)")]
    Mesh,
    /// See to it that a directory holds a certificate for a TLS proxy: fullchain.pem, privkey.pem.
    Cert(CertArgs),
}

/// Arguments of `keys cert`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh keys cert --dir certs --host localhost,books.example")]
pub struct CertArgs {
    /// Where it has to be. What is there stays; else one is made that is signed by itself, and made
    /// anew for other hosts, or 60 days before it ends.
    #[arg(long)]
    pub dir: PathBuf,
    /// The names and addresses that one of our own is made for.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "localhost")]
    #[arg(value_parser = host)]
    pub host: Vec<String>,
    /// A directory with a certificate of your own: as long as it has one, that is taken.
    #[arg(long)]
    pub from: Option<PathBuf>,
}

/// A name or an address, as lists of them are written: with blanks between.
fn host(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("is empty: give a name or an address".into()),
        host if host.contains(char::is_whitespace) => Err("has a blank in it".into()),
        host => Ok(host.to_owned()),
    }
}

/// Configuration.
#[derive(Subcommand, Clone, Debug)]
pub enum ConfigCommand {
    /// Print every setting, its value and where it came from; secrets are hidden.
    #[command(after_help = "Example:\n  PORT=8000 bookmesh config show --role gateway")]
    Show {
        /// Whose defaults.
        #[arg(long, value_enum, default_value_t = Role::Gateway)]
        role: Role,
        /// For programs.
        #[arg(long)]
        json: bool,
        /// What the other flags say.
        #[arg(skip)]
        flags: Overrides,
    },
}

/// Arguments of `health`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh health http://127.0.0.1:8081")]
pub struct HealthArgs {
    /// The node's HTTP address.
    #[arg(env = "BOOKMESH_URL", default_value = DEFAULT_URL)]
    pub url: String,
}
