//! JSON Schemas (draft 2020-12): of the files that people write, for editors that complete and check them, and of what is on the wire, for
//! the descriptions of the APIs.
//!
//! They are made from the types that parse and write all that. Where JSON Schema cannot say all that a parser checks, they accept more,
//! never less.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::check::FileKind;
use crate::cloudlet::{CandidateInfo, CloudletInfo};
use crate::cloudlet_file::Document;
use crate::deployment::CloudletDeployment;
use crate::policy::PolicyFile;
use crate::ranking::Explanation;
use crate::recipe::{Recipe, RecipeFile};

/// Where descriptions of APIs keep their schemas.
const COMPONENTS: &str = "/components/schemas";

/// The schema of a kind of file. Of a stream of documents it is that of each one.
pub fn of_file(kind: FileKind) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match kind {
        FileKind::Cloudlets => generator.into_root_schema_for::<Option<Document>>(),
        FileKind::Recipe => generator.into_root_schema_for::<RecipeFile>(),
        FileKind::Policy => generator.into_root_schema_for::<PolicyFile>(),
    };
    schema.to_value()
}

/// The schemas of what Tier 1 answers and of the reports that it takes, by the names under which an OpenAPI document refers to them.
pub fn of_tier1() -> Map<String, Value> {
    let mut generator = components(SchemaSettings::for_serialize);
    let answers = [
        ("Cloudlets", list::<CloudletInfo>(&mut generator)),
        ("Candidates", list::<CandidateInfo>(&mut generator)),
        ("Deployments", list::<CloudletDeployment>(&mut generator)),
    ];
    generator.subschema_for::<Explanation>();
    generator.subschema_for::<Recipe>();
    let mut reports = components(SchemaSettings::for_deserialize);
    let report = report(&mut reports);
    // What only reports refer to. What both do is the same both ways, but for nulls, which are no more than absent fields.
    let mut schemas = reports.take_definitions(true);
    schemas.extend(answering(generator));
    schemas.extend(answers.map(|(name, schema)| (name.to_owned(), schema)));
    schemas.insert("Report".to_owned(), report);
    schemas
}

/// The schemas of what Tier 2 answers, by the names under which an OpenAPI document refers to them.
pub fn of_tier2() -> Map<String, Value> {
    let mut generator = components(SchemaSettings::for_serialize);
    let deployments = list::<CloudletDeployment>(&mut generator);
    let mut schemas = answering(generator);
    schemas.insert("Deployments".to_owned(), deployments);
    schemas
}

/// A schema that takes no null where it took something or null: absent fields are left out of answers.
pub fn without_null(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    ("type" | "anyOf" | "oneOf", Value::Array(mut choices)) => {
                        choices.retain(|choice| {
                            *choice != "null" && *choice != json!({"type": "null"})
                        });
                        let choices = choices.into_iter().map(without_null).collect();
                        (name, Value::Array(choices))
                    }
                    (_, value) => (name, without_null(value)),
                });
            Value::Object(fields.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_null).collect()),
        other => other,
    }
}

fn components(direction: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    direction(SchemaSettings::draft2020_12())
        .with(|settings| settings.definitions_path = COMPONENTS.into())
        .into_generator()
}

fn answering(mut generator: SchemaGenerator) -> Map<String, Value> {
    let schemas = generator.take_definitions(true).into_iter();
    schemas
        .map(|(name, schema)| (name, without_null(schema)))
        .collect()
}

fn list<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({"type": "array", "items": generator.subschema_for::<T>()})
}

/// What a cloudlet says of itself: it has to name itself, and when it did so is Tier 1's to say.
fn report(generator: &mut SchemaGenerator) -> Value {
    let mut report = CloudletInfo::json_schema(generator).to_value();
    report["required"] = json!(["endpoint", "uuid"]);
    report["properties"]["uuid"] = json!({"type": "string", "format": "uuid"});
    report["examples"] = json!([{
        "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "endpoint": "https://cloudlet.example/api/v1/deploy",
        "resources": {"cpu_ratio": 0.25},
    }]);
    if let Some(fields) = report["properties"].as_object_mut() {
        fields.remove("last_update");
    }
    report
}
