//! A catalogue of made-up books, of which words, authors and tags are as unequally common as real
//! ones are.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const SYLLABLES: [&str; 32] = [
    "ba", "be", "co", "da", "di", "el", "fa", "go", "hi", "in", "ja", "ka", "le", "lo", "ma", "mi",
    "na", "no", "or", "pa", "qui", "ra", "ro", "sa", "so", "ta", "ti", "ul", "va", "vo", "xe",
    "zu",
];
const GENRES: [&str; 12] = [
    "fiction", "fantasy", "history", "romance", "science", "poetry", "crime", "travel", "drama",
    "comics", "art", "music",
];
/// Different words in titles, first names and surnames.
const WORDS: u64 = 60_000;
const FIRST_NAMES: u64 = 600;
const SURNAMES: u64 = 40_000;

/// One book.
pub struct Book {
    pub title: String,
    pub author: String,
    pub tag: &'static str,
}

/// The book with this number: the same in every run.
pub fn book(number: u64) -> Book {
    let mut draw = Draw(number);
    let words: Vec<_> = (0..2 + draw.below(3)).map(|_| word(draw.common(WORDS))).collect();
    let title = format!("The {} of {number:x}", words.join(" "));
    let author = format!("{} {}", word(draw.common(FIRST_NAMES)), word(draw.common(SURNAMES)));
    let tag = GENRES[draw.common(GENRES.len() as u64) as usize];
    Book { title, author, tag }
}

/// Writes a CSV file that `bookmesh import` reads.
pub fn write(path: &Path, books: u64) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    writeln!(out, "title,author,year,tags").unwrap();
    for number in 0..books {
        let (Book { title, author, tag }, year) = (book(number), 1900 + number % 120);
        writeln!(out, "{title},{author},{year},{tag}").unwrap();
    }
    out.flush().unwrap();
}

/// The lower the number, the shorter the word.
fn word(mut number: u64) -> String {
    let mut word = String::new();
    loop {
        word.push_str(SYLLABLES[(number % 32) as usize]);
        number /= 32;
        if number == 0 {
            return word;
        }
    }
}

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Below `most`, low numbers far more often than high ones.
    fn common(&mut self, most: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (unit.powi(4) * most as f64) as u64
    }
}
