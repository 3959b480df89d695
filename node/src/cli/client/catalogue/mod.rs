//! A book as a row of CSV, both ways.
//!
//! | file | idea |
//! |---|---|
//! | `columns` | which column means what, by its usual name |
//! | `values` | the text of one field and the value it stands for |
//! | `row` | a row becomes a book, or all reasons why not |
//! | `write` | a book becomes a row that reads back as the same |

mod columns;
mod row;
mod values;
mod write;

pub(super) use columns::{Column, Columns};
pub(super) use row::read_row;
pub(super) use write::write_row;
