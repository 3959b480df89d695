//! Which column means what, by its usual name.

/// What a column can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Column {
    /// `info.name`.
    Title,
    /// `info.author`.
    Author,
    /// `info.isbn`, ten digits.
    Isbn,
    /// `info.isbn13`, thirteen digits.
    Isbn13,
    /// `info.year`, a whole number.
    Year,
    /// `info.language`.
    Language,
    /// `info.price`, a decimal as text.
    Price,
    /// `tags`.
    Tags,
    /// All further keys of `info`, one JSON object.
    Info,
}

impl Column {
    /// All of them, in the order in which an export writes them.
    pub(in super::super) const ALL: [Self; 9] = [
        Self::Title,
        Self::Author,
        Self::Isbn,
        Self::Isbn13,
        Self::Year,
        Self::Language,
        Self::Price,
        Self::Tags,
        Self::Info,
    ];

    /// The names it goes by; an export writes the first.
    pub(in super::super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Title => &["title", "name"],
            Self::Author => &["author", "authors"],
            Self::Isbn => &["isbn", "isbn10"],
            Self::Isbn13 => &["isbn13"],
            Self::Year => &["year", "original_publication_year"],
            Self::Language => &["language", "language_code"],
            Self::Price => &["price"],
            Self::Tags => &["tags"],
            Self::Info => &["info"],
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.names().contains(&name))
    }
}

/// What the columns of one file mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Columns {
    /// One for each column of the file.
    meanings: Vec<Option<Column>>,
    /// The names of those that mean nothing here.
    pub(in super::super) unrecognised: Vec<String>,
}

impl Columns {
    /// From the header row. Of two columns with one meaning the first counts.
    ///
    /// # Errors
    /// What is missing: without a title and an author there is no book.
    pub(in super::super) fn recognise<'a>(
        header: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let (mut meanings, mut unrecognised) = (Vec::new(), Vec::new());
        for name in header {
            let column = Column::by_name(&plain(name)).filter(|c| !meanings.contains(&Some(*c)));
            if column.is_none() {
                unrecognised.push(name.trim().to_owned());
            }
            meanings.push(column);
        }
        for needed in [Column::Title, Column::Author] {
            if !meanings.contains(&Some(needed)) {
                let names = needed.names().join(" or ");
                return Err(format!("the first row has no column {names}: is it the header?"));
            }
        }
        Ok(Self { meanings, unrecognised })
    }

    /// How many columns there are.
    pub(super) fn count(&self) -> usize {
        self.meanings.len()
    }

    /// Where a column is.
    pub(super) fn place(&self, column: Column) -> Option<usize> {
        self.meanings.iter().position(|meaning| *meaning == Some(column))
    }
}

/// A header as its usual name is written: spreadsheets put a byte order mark before the first.
fn plain(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().to_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise(header: &str) -> Result<Columns, String> {
        Columns::recognise(header.split(','))
    }

    #[test]
    fn usual_names_are_recognised_and_the_rest_is_named() {
        let columns = recognise(
            "\u{feff}book_id,isbn,isbn13,Authors,Original Publication Year,original_title,title,\
             language_code,ratings_1",
        )
        .unwrap();
        assert_eq!(columns.place(Column::Title), Some(6));
        assert_eq!(columns.place(Column::Year), Some(4));
        assert_eq!(columns.place(Column::Price), None);
        assert_eq!(columns.unrecognised[1..], ["original_title", "ratings_1"]);
    }

    #[test]
    fn of_two_columns_with_one_meaning_the_first_counts() {
        let columns = recognise("name,title,author").unwrap();
        assert_eq!(columns.place(Column::Title), Some(0));
        assert_eq!(columns.unrecognised, ["title"]);
    }

    #[test]
    fn without_title_or_author_there_is_no_book() {
        assert!(recognise("title,isbn").unwrap_err().contains("author or authors"));
        assert!(recognise("").is_err());
    }
}
