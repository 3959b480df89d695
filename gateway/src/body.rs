//! JSON objects of a request, read field by field so that all faults are found at once.

use std::collections::BTreeMap;

use bookmesh_rpc::api::{ApiError, FieldError, RackId, collapse_white_space};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// An object whose values are not looked at yet.
pub(crate) type Object<'a> = BTreeMap<String, &'a RawValue>;

/// The object that a whole body is.
///
/// # Errors
/// [`ApiError::Invalid`] with the line and column where it stops being one.
pub(crate) fn object(body: &[u8]) -> Result<Object<'_>, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = if error.is_data() {
            "must be a JSON object".to_owned()
        } else {
            format!("is not valid JSON: {error}")
        };
        ApiError::invalid("body", text)
    })
}

/// A field: absent, null, or a value.
pub(crate) enum Field<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Field<T> {
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

/// The last whole number that every JSON client holds exactly: 2^53 - 1.
pub(crate) const MAX_WHOLE: u64 = (1 << 53) - 1;

/// A whole number however JSON writes it: `2`, `2.0` and `2e0` are the same number to it, and some
/// languages have no other way.
pub(crate) fn whole(raw: &RawValue) -> Option<u64> {
    let number = serde_json::from_str::<u64>(raw.get()).ok().or_else(|| {
        let number: f64 = serde_json::from_str(raw.get()).ok()?;
        let is_whole = number.fract() == 0.0 && (0.0..=MAX_WHOLE as f64).contains(&number);
        is_whole.then_some(number as u64)
    });
    number.filter(|number| *number <= MAX_WHOLE)
}

/// The fields of one object that are still to be read, and what was wrong with the others.
pub(crate) struct Fields<'a> {
    rest: Object<'a>,
    /// Where the object stands in the body: empty, or `info.`.
    prefix: &'static str,
    faults: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(object: Object<'a>, prefix: &'static str) -> Self {
        Self { rest: object, prefix, faults: Vec::new() }
    }

    /// A field's value as it stands.
    pub(crate) fn raw(&mut self, name: &str) -> Field<&'a RawValue> {
        match self.rest.remove(name) {
            None => Field::Absent,
            Some(raw) if raw.get() == "null" => Field::Null,
            Some(raw) => Field::Value(raw),
        }
    }

    /// A field of one type; `what` names it: "a string".
    pub(crate) fn typed<T: DeserializeOwned>(&mut self, name: &str, what: &str) -> Field<T> {
        match self.raw(name) {
            Field::Absent => Field::Absent,
            Field::Null => Field::Null,
            Field::Value(raw) => match serde_json::from_str(raw.get()) {
                Ok(value) => Field::Value(value),
                Err(_) => {
                    self.fault(name, format!("must be {what}"));
                    Field::Absent
                }
            },
        }
    }

    /// A whole number; `what` names it: "a whole number".
    pub(crate) fn whole(&mut self, name: &str, what: &str) -> Field<u64> {
        match self.raw(name) {
            Field::Absent => Field::Absent,
            Field::Null => Field::Null,
            Field::Value(raw) => match whole(raw) {
                Some(number) => Field::Value(number),
                None => {
                    self.fault(name, format!("must be {what}"));
                    Field::Absent
                }
            },
        }
    }

    /// A text, trimmed and with single spaces.
    pub(crate) fn text(&mut self, name: &str) -> Field<String> {
        match self.typed::<String>(name, "a string") {
            Field::Value(text) => Field::Value(collapse_white_space(&text)),
            other => other,
        }
    }

    /// A rack's name.
    pub(crate) fn rack(&mut self) -> Option<RackId> {
        let text = self.typed::<String>("rack_id", "a string").value()?;
        match text.parse() {
            Ok(rack) => Some(rack),
            Err(error) => {
                self.merge(error);
                None
            }
        }
    }

    pub(crate) fn fault(&mut self, name: &str, message: impl Into<String>) {
        let field = format!("{}{name}", self.prefix);
        self.faults.push(FieldError { field, message: message.into() });
    }

    /// Takes over the faults of an error.
    pub(crate) fn merge(&mut self, error: ApiError) {
        match error {
            ApiError::Invalid(faults) => self.faults.extend(faults),
            other => {
                self.faults.push(FieldError { field: "id".into(), message: other.to_string() })
            }
        }
    }

    /// Whether a field has a fault already.
    pub(crate) fn has_fault(&self, field: &str) -> bool {
        self.faults.iter().any(|fault| fault.field == field)
    }

    /// Whether nothing was wrong so far, and nothing is unknown.
    pub(crate) fn is_well(&self) -> bool {
        self.faults.is_empty() && self.rest.is_empty()
    }

    /// What was not read, and the faults so far.
    pub(crate) fn into_rest(self) -> (Object<'a>, Vec<FieldError>) {
        (self.rest, self.faults)
    }

    /// All faults; fields that were not read are unknown ones.
    pub(crate) fn finish(mut self, known: &str) -> Result<(), ApiError> {
        for name in std::mem::take(&mut self.rest).into_keys() {
            let name: String = name.chars().take(64).collect();
            self.fault(&name, format!("is unknown; known are {known}"));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let of = |text: &str| whole(serde_json::from_str(text).unwrap());
        for text in ["2", "2.0", "2e0", "20e-1"] {
            assert_eq!(of(text), Some(2), "{text}");
        }
        assert_eq!(of("9007199254740991"), Some(MAX_WHOLE));
        for text in ["-1", "2.5", "9007199254740992", "1e300", "\"2\"", "true", "[]"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
