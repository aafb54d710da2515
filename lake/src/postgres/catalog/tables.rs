//! The tables of `pg_catalog`, made anew for each statement from the lake's own catalog.
//!
//! Object ids are taken from names, so that they are the same on every connection and after every restart. They are
//! given as bigint, not oid. Source: <https://www.postgresql.org/docs/17/catalogs.html>.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int16Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{CatalogProvider, MemTable, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::TableType;
use pgwire::api::Type;

use super::super::rows::{columns, type_bytes};
use super::OWNER;

/// The tables there are.
pub(super) const NAMES: &[&str] = &[
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_database",
    "pg_description",
    "pg_index",
    "pg_inherits",
    "pg_namespace",
    "pg_policy",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_roles",
    "pg_statistic_ext",
    "pg_tables",
    "pg_trigger",
    "pg_type",
    "pg_views",
];

pub(super) async fn table(name: &str, lake: &dyn CatalogProvider) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
    let frame = match name {
        "pg_namespace" => namespaces(lake),
        "pg_class" => classes(&relations(lake).await?),
        "pg_attribute" => attributes(&relations(lake).await?)?,
        "pg_description" => descriptions(&relations(lake).await?),
        "pg_tables" => stored(&relations(lake).await?),
        "pg_views" => views(&relations(lake).await?),
        "pg_type" => types(),
        "pg_database" => databases(),
        "pg_roles" => roles(),
        "pg_am" => Frame::of(1).int("oid", [ACCESS_METHOD]).text("amname", ["delta"]).text("amtype", ["t"]),
        empty => match nothing(empty) {
            Some(frame) => frame,
            None => return Ok(None),
        },
    };
    frame.table().map(Some)
}

/// Whether a table has no rows, as nothing of its kind is here.
pub(in super::super) fn is_empty(name: &str) -> bool {
    nothing(name).is_some()
}

/// Ids of what isn't a table of the lake. Those of types are PostgreSQL's.
const DATABASE: i64 = 16_000;
const ROLE: i64 = 10;
const ACCESS_METHOD: i64 = 2;
/// PostgreSQL's first id for what users make.
const OID_FIRST: i64 = 16_384;

/// FNV-1a of 32 bits, of which 30 are kept, so that an id fits PostgreSQL's and Java's integers.
fn oid(name: &str) -> i64 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    OID_FIRST + i64::from(hash >> 2)
}

/// A table or view of the lake.
struct Relation {
    schema: String,
    name: String,
    view: bool,
    columns: Arc<Schema>,
    comment: Option<String>,
    definition: Option<String>,
}

impl Relation {
    fn oid(&self) -> i64 {
        oid(&format!("{}.{}", self.schema, self.name))
    }
}

async fn relations(lake: &dyn CatalogProvider) -> Result<Vec<Relation>, DataFusionError> {
    let mut relations = Vec::new();
    for schema in lake.schema_names() {
        let Some(provider) = lake.schema(&schema) else { continue };
        for name in provider.table_names() {
            let Some(table) = provider.table(&name).await? else { continue };
            let tables = catalog::tables::all().into_iter().map(|table| (table.name, table.comment.to_owned()));
            let views = catalog::views::all().into_iter().map(|view| (view.name, view.comment));
            let comment = tables.chain(views).find(|(declared, _)| declared.schema == schema && declared.table == name);
            relations.push(Relation {
                view: provider.table_type(&name).await? == Some(TableType::View),
                columns: table.schema(),
                comment: comment.map(|(_, comment)| comment),
                definition: table.get_table_definition().map(str::to_owned),
                schema: schema.clone(),
                name,
            });
        }
    }
    relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(relations)
}

fn namespaces(lake: &dyn CatalogProvider) -> Frame {
    let mut names = lake.schema_names();
    names.extend(["information_schema".to_owned(), "pg_catalog".to_owned()]);
    names.sort();
    names.dedup();
    Frame::of(names.len())
        .int("oid", names.iter().map(|name| oid(name)))
        .text("nspname", names.iter())
        .int("nspowner", names.iter().map(|_| ROLE))
        .no_list("nspacl")
}

fn classes(relations: &[Relation]) -> Frame {
    let all = relations.iter();
    Frame::of(relations.len())
        .int("oid", all.clone().map(Relation::oid))
        .text("relname", all.clone().map(|relation| &relation.name))
        .int("relnamespace", all.clone().map(|relation| oid(&relation.schema)))
        .int("reltype", all.clone().map(|_| 0))
        .int("reloftype", all.clone().map(|_| 0))
        .int("relowner", all.clone().map(|_| ROLE))
        .int("relam", all.clone().map(|relation| if relation.view { 0 } else { ACCESS_METHOD }))
        .int("relfilenode", all.clone().map(|_| 0))
        .int("reltablespace", all.clone().map(|_| 0))
        .int("relpages", all.clone().map(|_| 0))
        // PostgreSQL's word for "never counted".
        .float("reltuples", all.clone().map(|_| -1.0))
        .int("relallvisible", all.clone().map(|_| 0))
        .int("reltoastrelid", all.clone().map(|_| 0))
        .flag("relhasindex", false)
        .flag("relisshared", false)
        .text("relpersistence", all.clone().map(|_| "p"))
        .text("relkind", all.clone().map(|relation| if relation.view { "v" } else { "r" }))
        .small("relnatts", all.clone().map(|relation| relation.columns.fields().len() as i16))
        .small("relchecks", all.clone().map(|_| 0))
        .flag("relhasrules", false)
        .flag("relhastriggers", false)
        .flag("relhassubclass", false)
        .flag("relrowsecurity", false)
        .flag("relforcerowsecurity", false)
        .flag("relispopulated", true)
        .text("relreplident", all.clone().map(|_| "n"))
        .flag("relispartition", false)
        .no_list("relacl")
        .no_list("reloptions")
        .null("relpartbound")
}

fn attributes(relations: &[Relation]) -> Result<Frame, DataFusionError> {
    let mut attributes = Vec::new();
    for relation in relations {
        let columns = columns(&relation.columns, &[]).map_err(|error| DataFusionError::External(Box::new(error)))?;
        for (index, (field, column)) in relation.columns.fields().iter().zip(columns).enumerate() {
            attributes.push((relation.oid(), index as i16 + 1, field.name().clone(), column.of().clone(), !field.is_nullable()));
        }
    }
    let all = attributes.iter();
    Ok(Frame::of(attributes.len())
        .int("attrelid", all.clone().map(|attribute| attribute.0))
        .text("attname", all.clone().map(|attribute| &attribute.2))
        .int("atttypid", all.clone().map(|attribute| attribute.3.oid().into()))
        .small("attlen", all.clone().map(|attribute| type_bytes(&attribute.3)))
        .small("attnum", all.clone().map(|attribute| attribute.1))
        .int("atttypmod", all.clone().map(|_| -1))
        .small("attndims", all.clone().map(|_| 0))
        .flags("attnotnull", all.clone().map(|attribute| attribute.4))
        .flag("atthasdef", false)
        .flag("attisdropped", false)
        .flag("attislocal", true)
        .text("attidentity", all.clone().map(|_| ""))
        .text("attgenerated", all.clone().map(|_| ""))
        .text("attstorage", all.clone().map(|_| "p"))
        .text("attcompression", all.clone().map(|_| ""))
        .small("attstattarget", all.clone().map(|_| -1))
        .int("attcollation", all.clone().map(|_| 0))
        .no_list("attacl")
        .no_list("attoptions"))
}

fn descriptions(relations: &[Relation]) -> Frame {
    let mut descriptions = Vec::new();
    for relation in relations {
        if let Some(comment) = &relation.comment {
            descriptions.push((relation.oid(), 0, comment.clone()));
        }
        for (index, field) in relation.columns.fields().iter().enumerate() {
            if let Some(comment) = field.metadata().get("comment") {
                descriptions.push((relation.oid(), index as i64 + 1, comment.clone()));
            }
        }
    }
    let all = descriptions.iter();
    Frame::of(descriptions.len())
        .int("objoid", all.clone().map(|description| description.0))
        .int("classoid", all.clone().map(|_| 1_259))
        .int("objsubid", all.clone().map(|description| description.1))
        .text("description", all.clone().map(|description| &description.2))
}

fn stored(relations: &[Relation]) -> Frame {
    let all = relations.iter().filter(|relation| !relation.view);
    Frame::of(all.clone().count())
        .text("schemaname", all.clone().map(|relation| &relation.schema))
        .text("tablename", all.clone().map(|relation| &relation.name))
        .text("tableowner", all.clone().map(|_| OWNER))
        .null("tablespace")
        .flag("hasindexes", false)
        .flag("hasrules", false)
        .flag("hastriggers", false)
        .flag("rowsecurity", false)
}

fn views(relations: &[Relation]) -> Frame {
    let all = relations.iter().filter(|relation| relation.view);
    Frame::of(all.clone().count())
        .text("schemaname", all.clone().map(|relation| &relation.schema))
        .text("viewname", all.clone().map(|relation| &relation.name))
        .text("viewowner", all.clone().map(|_| OWNER))
        .texts("definition", all.clone().map(|relation| relation.definition.clone()))
}

/// The types that columns have, under PostgreSQL's own ids.
fn types() -> Frame {
    let types = [
        (Type::BOOL, "B"),
        (Type::BYTEA, "U"),
        (Type::INT2, "N"),
        (Type::INT4, "N"),
        (Type::INT8, "N"),
        (Type::TEXT, "S"),
        (Type::VARCHAR, "S"),
        (Type::FLOAT4, "N"),
        (Type::FLOAT8, "N"),
        (Type::NUMERIC, "N"),
        (Type::DATE, "D"),
        (Type::TIME, "D"),
        (Type::TIMESTAMP, "D"),
        (Type::TIMESTAMPTZ, "D"),
        (Type::INTERVAL, "T"),
    ];
    let all = types.iter();
    Frame::of(types.len())
        .int("oid", all.clone().map(|(of, _)| of.oid().into()))
        .text("typname", all.clone().map(|(of, _)| of.name()))
        .int("typnamespace", all.clone().map(|_| oid("pg_catalog")))
        .int("typowner", all.clone().map(|_| ROLE))
        .small("typlen", all.clone().map(|(of, _)| type_bytes(of)))
        .text("typtype", all.clone().map(|_| "b"))
        .text("typcategory", all.clone().map(|(_, category)| *category))
        .text("typdelim", all.clone().map(|_| ","))
        .int("typrelid", all.clone().map(|_| 0))
        .int("typelem", all.clone().map(|_| 0))
        .int("typarray", all.clone().map(|_| 0))
        .int("typbasetype", all.clone().map(|_| 0))
        .int("typtypmod", all.clone().map(|_| -1))
        .int("typcollation", all.clone().map(|_| 0))
        .flag("typnotnull", false)
        .flag("typisdefined", true)
}

fn databases() -> Frame {
    Frame::of(1)
        .int("oid", [DATABASE])
        .text("datname", [crate::CATALOG])
        .int("datdba", [ROLE])
        .int("encoding", [6])
        .text("datlocprovider", ["c"])
        .text("datcollate", ["C"])
        .text("datctype", ["C"])
        .null("daticulocale")
        .null("daticurules")
        .null("datlocale")
        .flag("datistemplate", false)
        .flag("datallowconn", true)
        .no_list("datacl")
}

fn roles() -> Frame {
    Frame::of(1)
        .int("oid", [ROLE])
        .text("rolname", [OWNER])
        .flag("rolsuper", false)
        .flag("rolinherit", true)
        .flag("rolcreaterole", false)
        .flag("rolcreatedb", false)
        .flag("rolcanlogin", true)
        .flag("rolreplication", false)
        .flag("rolbypassrls", false)
        .int("rolconnlimit", [-1])
        .null("rolvaliduntil")
}

/// What no table of the lake has: defaults, indexes, triggers, policies and the like.
fn nothing(name: &str) -> Option<Frame> {
    let (ints, texts, flags): (&[&'static str], &[&'static str], &[&'static str]) = match name {
        "pg_attrdef" => (&["oid", "adrelid", "adnum"], &["adbin"], &[]),
        "pg_collation" => (&["oid", "collnamespace"], &["collname"], &[]),
        "pg_constraint" => (
            &["oid", "conrelid", "confrelid", "conindid", "conparentid", "connamespace"],
            &["conname", "contype"],
            &["condeferrable"],
        ),
        "pg_index" => {
            (&["indexrelid", "indrelid"], &[], &["indisprimary", "indisunique", "indisclustered", "indisvalid", "indisreplident"])
        }
        "pg_inherits" => (&["inhrelid", "inhparent", "inhseqno"], &[], &["inhdetachpending"]),
        "pg_policy" => (&["oid", "polrelid"], &["polname", "polcmd", "polroles", "polqual", "polwithcheck"], &["polpermissive"]),
        "pg_publication" => (&["oid"], &["pubname"], &["puballtables"]),
        "pg_publication_namespace" => (&["oid", "pnpubid", "pnnspid"], &[], &[]),
        "pg_publication_rel" => (&["oid", "prpubid", "prrelid"], &["prqual", "prattrs"], &[]),
        "pg_statistic_ext" => (&["oid", "stxrelid", "stxnamespace", "stxstattarget"], &["stxname", "stxkind"], &[]),
        "pg_trigger" => (&["oid", "tgrelid", "tgparentid"], &["tgname", "tgenabled"], &["tgisinternal"]),
        _ => return None,
    };
    let frame = ints.iter().fold(Frame::of(0), |frame, &name| frame.int(name, []));
    let frame = texts.iter().fold(frame, |frame, &name| frame.null(name));
    Some(flags.iter().fold(frame, |frame, &name| frame.flag(name, false)))
}

/// Columns of equal length, by name.
struct Frame {
    rows: usize,
    columns: Vec<(&'static str, ArrayRef)>,
}

impl Frame {
    fn of(rows: usize) -> Frame {
        Frame { rows, columns: Vec::new() }
    }

    fn with(mut self, name: &'static str, array: ArrayRef) -> Frame {
        self.columns.push((name, array));
        self
    }

    fn int(self, name: &'static str, values: impl IntoIterator<Item = i64>) -> Frame {
        self.with(name, Arc::new(Int64Array::from_iter_values(values)))
    }

    fn small(self, name: &'static str, values: impl IntoIterator<Item = i16>) -> Frame {
        self.with(name, Arc::new(Int16Array::from_iter_values(values)))
    }

    fn float(self, name: &'static str, values: impl IntoIterator<Item = f32>) -> Frame {
        self.with(name, Arc::new(Float32Array::from_iter_values(values)))
    }

    fn text(self, name: &'static str, values: impl IntoIterator<Item = impl AsRef<str>>) -> Frame {
        self.with(name, Arc::new(StringArray::from_iter_values(values)))
    }

    fn texts(self, name: &'static str, values: impl IntoIterator<Item = Option<String>>) -> Frame {
        self.with(name, Arc::new(StringArray::from_iter(values)))
    }

    fn flags(self, name: &'static str, values: impl IntoIterator<Item = bool>) -> Frame {
        self.with(name, Arc::new(values.into_iter().map(Some).collect::<BooleanArray>()))
    }

    fn flag(self, name: &'static str, value: bool) -> Frame {
        let rows = self.rows;
        self.flags(name, std::iter::repeat_n(value, rows))
    }

    /// A text that is null in every row.
    fn null(self, name: &'static str) -> Frame {
        let rows = self.rows;
        self.with(name, arrow::array::new_null_array(&DataType::Utf8, rows))
    }

    /// A list of texts that is null in every row, as of privileges.
    fn no_list(self, name: &'static str) -> Frame {
        let rows = self.rows;
        self.with(name, arrow::array::new_null_array(&DataType::new_list(DataType::Utf8, true), rows))
    }

    fn table(self) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let fields: Vec<Field> =
            self.columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), self.columns.into_iter().map(|(_, array)| array).collect())?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_their_own_and_stay() {
        let names: Vec<String> = catalog::tables::all().iter().map(|table| table.name.to_string()).collect();
        let ids: std::collections::BTreeSet<i64> = names.iter().map(|name| oid(name)).collect();
        assert_eq!(ids.len(), names.len());
        assert!(ids.iter().all(|id| (OID_FIRST..=i64::from(i32::MAX)).contains(id)));
        assert_eq!(oid("rollup.traffic_hourly"), 956134813, "an id that changes breaks clients that keep it");
    }
}
