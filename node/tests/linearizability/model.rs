//! What one book does when only one client uses it: the meaning that every history is held to.

/// What a client asks of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Read,
    /// Writes a value that nobody else writes.
    Mark(u64),
    /// Takes the book, in the name of somebody who takes it only this once.
    CheckOut(u64),
    Return,
    Remove,
}

/// A book as an answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Book {
    /// Counts every change.
    pub version: u64,
    pub mark: u64,
    pub holder: Option<u64>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done: the book after it, or the one that was removed.
    Is(Book),
    /// Refused, for what the book is.
    Conflict,
    /// There is no such book.
    Gone,
    /// Nobody knows: it may take effect at any time after the call, or never.
    Unknown,
}

/// A book's state; `None` once it is removed.
pub type State = Option<Book>;

impl Call {
    /// The state after this call, and what its caller is told.
    pub fn apply(self, state: State) -> (State, Outcome) {
        let Some(book) = state else { return (None, Outcome::Gone) };
        let changed = Book { version: book.version + 1, ..book };
        let after = match (self, book.holder) {
            (Self::Read, _) => book,
            (Self::Remove, _) => return (None, Outcome::Is(book)),
            (Self::Mark(mark), _) => Book { mark, ..changed },
            (Self::CheckOut(holder), None) => Book { holder: Some(holder), ..changed },
            (Self::Return, Some(_)) => Book { holder: None, ..changed },
            (Self::CheckOut(_), Some(_)) | (Self::Return, None) => {
                return (state, Outcome::Conflict);
            }
        };
        (Some(after), Outcome::Is(after))
    }

    /// The state after this call, if it can have had this outcome in that state. A call of unknown
    /// outcome that would change nothing has no place in any order.
    pub fn step(self, outcome: Outcome, state: State) -> Option<State> {
        let (after, told) = self.apply(state);
        let possible = if outcome == Outcome::Unknown { after != state } else { outcome == told };
        possible.then_some(after)
    }
}

/// Whether this call may still have its place somewhere after that state: versions only grow, a
/// version is one state, and what is removed stays so.
pub fn may_follow(state: State, call: Call, outcome: Outcome) -> bool {
    match (state, outcome) {
        (None, outcome) => outcome == Outcome::Gone,
        (Some(book), Outcome::Is(shown)) => {
            let changes = !matches!(call, Call::Read | Call::Remove);
            book.version < shown.version || (book == shown && !changes)
        }
        (Some(_), _) => true,
    }
}
