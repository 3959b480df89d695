//! An event as one JSON object a line: `time`, `level`, `target`, `node` (the peer id once it is
//! known), `role`, then the fields of the spans around it and its own, `message` among them.

use std::fmt;
use std::time::SystemTime;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::redact::{REDACTED, is_secret, scrub};

/// What one field may take of a line; the rest of it is cut off.
const MAX_FIELD_BYTES: usize = 8 * 1024;

/// Lines of JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonLines {
    pub(super) role: &'static str,
    pub(super) redact: bool,
}

/// The fields of a span as a JSON object, kept until its events are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonFields {
    pub(super) redact: bool,
}

/// Fields in the order in which they came, each name once.
struct Fields {
    fields: Vec<(String, Value)>,
    redact: bool,
}

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// A field's value, if it may be shown.
    fn record(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        let hidden = self.redact && is_secret(field.name());
        self.set(field.name(), if hidden { REDACTED.into() } else { value() });
    }

    fn text(&mut self, field: &Field, text: &str) {
        let redact = self.redact;
        self.record(field, || {
            let cut = text.floor_char_boundary(MAX_FIELD_BYTES);
            let shown = &text[..cut];
            Value::String(if redact { scrub(shown).into_owned() } else { shown.to_owned() })
        });
    }

    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result {
        for (at, (name, value)) in self.fields.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            write!(writer, "{before}{}:{value}", Value::from(name.as_str()))?;
        }
        writer.write_str(if self.fields.is_empty() { "{}" } else { "}" })
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, || value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, || value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, || value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, || value.into());
    }
}

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        recorded: R,
    ) -> fmt::Result {
        let mut fields = Fields { fields: Vec::new(), redact: self.redact };
        recorded.record(&mut fields);
        fields.write(&mut writer)
    }
}

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields { fields: Vec::with_capacity(12), redact: self.redact };
        let (about, now) = (event.metadata(), SystemTime::now());
        let node = super::NODE.get().map_or(self.role, String::as_str);
        fields.set("time", humantime::format_rfc3339_micros(now).to_string().into());
        fields.set("level", about.level().as_str().into());
        fields.set("target", about.target().into());
        fields.set("node", node.into());
        fields.set("role", self.role.into());
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let Some(known) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
            // One object, and one more for each time that fields were added later.
            let objects = serde_json::Deserializer::from_str(known).into_iter::<Value>();
            for (name, value) in objects.flatten().filter_map(object).flatten() {
                fields.set(&name, value);
            }
        }
        event.record(&mut fields);
        fields.write(&mut writer)?;
        writer.write_char('\n')
    }
}

fn object(value: Value) -> Option<serde_json::Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}
