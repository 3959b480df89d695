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
