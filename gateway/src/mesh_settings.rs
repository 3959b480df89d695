//! `/settings`: what holds for the whole mesh, kept in the registry.

use std::sync::Arc;

use bookmesh_rpc::api::{ApiError, GetSettings, SetSettings, Settings};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::success;
use crate::app::App;
use crate::body::{self, Field, Fields};
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::openapi::forms;
use crate::{query, registry};

const KNOWN: &str = "rack_replicas, replace_after_ms";

/// `GET /settings`. What is null is left to each node's own configuration.
pub(crate) async fn get(app: Arc<App>, call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let settings = registry::ask(&app.orks, &call.context, GetSettings).await?;
    Ok(success(SettingsJson::of(settings)))
}

/// `PUT /settings`: what is given changes, null leaves it to each node again. Of two that change
/// different settings at the same moment the later one may undo the other.
pub(crate) async fn put(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let body = call.body().await?;
    let change = Change::parse(&body).map_err(invalid)?;
    let known = if change.is_whole() {
        Settings::default()
    } else {
        registry::ask(&app.orks, &call.context, GetSettings).await?
    };
    let settings = change.of(known);
    let settings = registry::ask(&app.orks, &call.context, SetSettings { settings }).await?;
    Ok(success(SettingsJson::of(settings)))
}

/// What a client wants changed: absent, null, or a value.
#[derive(Debug)]
struct Change {
    rack_replicas: Option<Option<u8>>,
    replace_after_ms: Option<Option<u64>>,
}

impl Change {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let object = body::object(body)?;
        if object.is_empty() {
            return Err(ApiError::invalid("body", format!("must have one or more of {KNOWN}")));
        }
        let mut fields = Fields::new(object, "");
        let change = Self {
            rack_replicas: given(replicas(&mut fields)),
            replace_after_ms: given(fields.whole("replace_after_ms", "milliseconds or null")),
        };
        for fault in change.of(Settings::default()).faults().into_vec() {
            fields.fault(&fault.field, fault.message);
        }
        fields.finish(KNOWN)?;
        Ok(change)
    }

    const fn is_whole(&self) -> bool {
        self.rack_replicas.is_some() && self.replace_after_ms.is_some()
    }

    fn of(&self, known: Settings) -> Settings {
        Settings {
            rack_replicas: self.rack_replicas.unwrap_or(known.rack_replicas),
            replace_after_ms: self.replace_after_ms.unwrap_or(known.replace_after_ms),
        }
    }
}

fn replicas(fields: &mut Fields<'_>) -> Field<u8> {
    let rule = "1, 3, 5, 7 or null";
    match fields.whole("rack_replicas", rule) {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Value(voters) => match u8::try_from(voters) {
            Ok(voters) => Field::Value(voters),
            Err(_) => {
                fields.fault("rack_replicas", format!("must be {rule}"));
                Field::Absent
            }
        },
    }
}

fn given<T>(field: Field<T>) -> Option<Option<T>> {
    match field {
        Field::Absent => None,
        Field::Null => Some(None),
        Field::Value(value) => Some(Some(value)),
    }
}

/// What holds for the whole mesh; null leaves it to each node.
#[derive(Serialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct SettingsJson {
    /// Voters that a rack aims for.
    #[schema(schema_with = forms::replicas, required = true)]
    rack_replicas: Option<u8>,
    /// Milliseconds that a voter may be silent before another worker takes its place.
    #[schema(schema_with = forms::replace_after, required = true)]
    replace_after_ms: Option<u64>,
}

impl SettingsJson {
    const fn of(settings: Settings) -> Self {
        let Settings { rack_replicas, replace_after_ms } = settings;
        Self { rack_replicas, replace_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Vec<String> {
        match Change::parse(body.as_bytes()) {
            Err(ApiError::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_out_stays_and_null_is_none() {
        let known = Settings { rack_replicas: Some(3), replace_after_ms: Some(5_000) };
        let change = Change::parse(br#"{"rack_replicas":5}"#).unwrap();
        assert_eq!(change.of(known), Settings { rack_replicas: Some(5), ..known });
        let change = Change::parse(br#"{"replace_after_ms":null}"#).unwrap();
        assert_eq!(change.of(known), Settings { replace_after_ms: None, ..known });
        assert!(!change.is_whole());
    }

    #[test]
    fn what_is_wrong_is_named_all_at_once() {
        let body = r#"{"rack_replicas":2,"replace_after_ms":"soon","colour":1}"#;
        let mut found = fields(body);
        found.sort();
        assert_eq!(found, ["colour", "rack_replicas", "replace_after_ms"]);
        assert_eq!(fields(r#"{"rack_replicas":300}"#), ["rack_replicas"]);
        assert_eq!(fields(r#"{"replace_after_ms":999}"#), ["replace_after_ms"]);
        assert_eq!((fields("{}"), fields("[]")), (vec!["body".into()], vec!["body".into()]));
    }
}
