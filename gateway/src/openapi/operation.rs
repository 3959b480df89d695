//! One operation of the document in the making: what it takes, and every answer that it may give.

use serde_json::Value;
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Ref, Schema};
use utoipa::openapi::{
    Array, Content, ContentBuilder, HttpMethod, ObjectBuilder, RefOr, Required, Response,
    ResponseBuilder, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::forms;
use super::headers;
use super::schemas::Failure;

pub(crate) const JSON: &str = "application/json";

/// Named schemas that an operation refers to.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

/// An operation, and where it is.
pub(crate) struct Route {
    pub(crate) method: HttpMethod,
    pub(crate) path: &'static str,
    operation: OperationBuilder,
    pub(crate) schemas: Schemas,
}

impl Route {
    pub(crate) fn new(
        method: HttpMethod,
        path: &'static str,
        tag: &str,
        id: &str,
        summary: &str,
    ) -> Self {
        let operation = OperationBuilder::new().tag(tag).operation_id(Some(id));
        let operation = operation.summary(Some(summary)).parameter_ref(headers::request_id_ref());
        Self { method, path, operation, schemas: Vec::new() }
    }

    pub(crate) fn get(path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Get, path, tag, id, summary)
    }

    pub(crate) fn post(path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Post, path, tag, id, summary)
    }

    pub(crate) fn put(path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Put, path, tag, id, summary)
    }

    pub(crate) fn delete(path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        Self::new(HttpMethod::Delete, path, tag, id, summary)
    }

    /// What a reader should know, in Markdown.
    pub(crate) fn about(mut self, text: &str) -> Self {
        self.operation = self.operation.description(Some(text));
        self
    }

    pub(crate) fn takes(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        for parameter in parameters {
            self.operation = self.operation.parameter(parameter);
        }
        self
    }

    /// A body of JSON, with what is wrong about a body among the answers.
    pub(crate) fn body<T: ToSchema>(mut self, about: &str, example: Value) -> Self {
        let schema = self.named::<T>();
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        let body = RequestBodyBuilder::new().description(Some(about));
        let body = body.required(Some(Required::True)).content(JSON, content).build();
        self.operation = self.operation.request_body(Some(body));
        self.fails(408, "`ERR_REQUEST_TIMEOUT`: the body did not arrive in time.")
            .fails(413, "`ERR_PAYLOAD_TOO_LARGE`: the body is larger than `MAX_PAYLOAD_SIZE`.")
            .fails(415, "`ERR_UNSUPPORTED_MEDIA_TYPE`: the body is not announced as JSON.")
    }

    /// A success in the envelope of `/books`.
    pub(crate) fn envelope<T: ToSchema>(
        self,
        status: u16,
        about: &str,
        headers: &[&str],
        data: Value,
    ) -> Self {
        let example = enveloped(status, data);
        self.plain_as::<T>(status, about, headers, example, |data| envelope(status, data))
    }

    /// A success in the envelope, of many.
    pub(crate) fn envelope_of_many<T: ToSchema>(
        self,
        status: u16,
        about: &str,
        headers: &[&str],
        data: Value,
    ) -> Self {
        let example = enveloped(status, data);
        self.plain_as::<T>(status, about, headers, example, |data| {
            envelope(status, Array::new(data).into())
        })
    }

    /// A success that is the value itself.
    pub(crate) fn plain<T: ToSchema>(
        self,
        status: u16,
        about: &str,
        headers: &[&str],
        example: Value,
    ) -> Self {
        self.plain_as::<T>(status, about, headers, example, |data| data)
    }

    /// A success that is an array of values.
    pub(crate) fn plain_of_many<T: ToSchema>(
        self,
        status: u16,
        about: &str,
        headers: &[&str],
        example: Value,
    ) -> Self {
        self.plain_as::<T>(status, about, headers, example, |data| Array::new(data).into())
    }

    fn plain_as<T: ToSchema>(
        mut self,
        status: u16,
        about: &str,
        headers: &[&str],
        example: Value,
        shape: impl FnOnce(RefOr<Schema>) -> RefOr<Schema>,
    ) -> Self {
        let schema = shape(self.named::<T>());
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        self.answers(status, about, headers, Some((JSON, content)))
    }

    /// An answer of any kind.
    pub(crate) fn answers(
        mut self,
        status: u16,
        about: &str,
        headers: &[&str],
        content: Option<(&str, Content)>,
    ) -> Self {
        let response = response(about, headers);
        let response = match content {
            Some((kind, content)) => response.content(kind, content),
            None => response,
        };
        self.operation = self.operation.response(status.to_string(), response.build());
        self
    }

    /// A further kind of content of an answer.
    pub(crate) fn also(mut self, status: u16, kind: &str, content: Content) -> Self {
        let mut built = self.operation.build();
        if let Some(RefOr::T(response)) = built.responses.responses.get_mut(&status.to_string()) {
            response.content.insert(kind.to_owned(), content.into());
        }
        self.operation = built.into();
        self
    }

    /// An answer of text.
    pub(crate) fn text(self, status: u16, about: &str, kind: &str) -> Self {
        let content = Content::new(Some(forms::string().build()));
        self.answers(status, about, &[], Some((kind, content)))
    }

    /// An error. All have one shape.
    pub(crate) fn fails(mut self, status: u16, about: &str) -> Self {
        let content = Content::new(Some(self.named::<Failure>()));
        let headers: &[&str] = match status {
            429 | 503 => &[headers::RETRY_AFTER],
            _ => &[],
        };
        self.answers(status, about, headers, Some((JSON, content)))
    }

    /// What can go wrong with every call that asks a rack.
    pub(crate) fn fails_with_racks(self) -> Self {
        self.fails(
            503,
            "`ERR_RACK_UNAVAILABLE`: the rack can't be reached or has no leader just now; ask \
             again after `Retry-After`.",
        )
        .fails(504, "`ERR_TIMEOUT`: the rack was reached and did not answer in time.")
    }

    /// What can go wrong with every call.
    pub(crate) fn fails_always(self) -> Self {
        self.fails(
            429,
            "`ERR_RATE_LIMITED`: this client asks more often than the gateway allows; ask again \
             after `Retry-After`.",
        )
        .fails(500, "`ERR_INTERNAL`: a fault of ours; the log has its cause under `requestId`.")
    }

    /// From an answer to another operation: `parameters` come from `$response…`.
    pub(crate) fn leads_to(
        self,
        status: u16,
        name: &str,
        operation: &str,
        parameter: &str,
        from: &str,
    ) -> Self {
        let link = LinkBuilder::new().operation_id(operation).parameter(parameter, from).build();
        self.link(status, name, link)
    }

    /// As [`Route::leads_to`], with a body whose parts may come from `$response…`.
    pub(crate) fn leads_to_body(
        self,
        status: u16,
        name: &str,
        operation: &str,
        body: Value,
    ) -> Self {
        let link = LinkBuilder::new().operation_id(operation).request_body(Some(body)).build();
        self.link(status, name, link)
    }

    fn link(mut self, status: u16, name: &str, link: Link) -> Self {
        let mut built = self.operation.build();
        if let Some(RefOr::T(response)) = built.responses.responses.get_mut(&status.to_string()) {
            response.links.insert(name.to_owned(), link.into());
        }
        self.operation = built.into();
        self
    }

    pub(crate) fn build(self) -> Operation {
        self.operation.build()
    }

    /// A reference to a named schema, which the document then has, with all that it names.
    pub(crate) fn named<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.schemas.push((T::name().into_owned(), <T as PartialSchema>::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name()).into()
    }
}

fn response(about: &str, headers: &[&str]) -> ResponseBuilder {
    let response = Response::new(about);
    let names = headers.iter().copied().chain([headers::REQUEST_ID]);
    names.fold(response.into(), |response: ResponseBuilder, name| {
        response.header_ref(name, headers::reference(name))
    })
}

/// `{"statusCode":200,"data":…,"message":"Success"}`.
fn envelope(status: u16, data: RefOr<Schema>) -> RefOr<Schema> {
    let code = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status]));
    let object = ObjectBuilder::new()
        .property("statusCode", code)
        .required("statusCode")
        .property("data", data)
        .required("data")
        .property("message", forms::string())
        .required("message");
    object.build().into()
}

fn enveloped(status: u16, data: Value) -> Value {
    let message = if status == 206 { "Partial: no answer from book-rack-002" } else { "Success" };
    serde_json::json!({ "statusCode": status, "data": data, "message": message })
}
