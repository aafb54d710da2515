//! PostgreSQL's functions that DataFusion hasn't got and clients call before anything else.

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use pgwire::api::Type;

use super::super::settings::SERVER_VERSION;
use super::OWNER;

/// The functions of a session of `user` on connection `pid`.
pub(super) fn all(user: &str, pid: i32) -> Vec<ScalarUDF> {
    let text = |text: &str| ScalarValue::from(text);
    let version =
        format!("PostgreSQL {SERVER_VERSION} {}, DataFusion {}", env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION);
    let nothing = ScalarValue::Utf8(None);
    // Name, how many arguments it takes, and its answer.
    let constants: [(&'static str, &[usize], ScalarValue); 17] = [
        ("version", &[0], text(&version)),
        ("current_database", &[0], text(crate::CATALOG)),
        ("current_catalog", &[0], text(crate::CATALOG)),
        ("current_schema", &[0], text("public")),
        ("current_user", &[0], text(user)),
        ("session_user", &[0], text(user)),
        ("pg_backend_pid", &[0], ScalarValue::from(pid)),
        ("pg_is_in_recovery", &[0], ScalarValue::from(false)),
        ("pg_get_userbyid", &[1], text(OWNER)),
        ("pg_encoding_to_char", &[1], text("UTF8")),
        // Every table is named with its schema in what psql prints, and is there for everybody.
        ("pg_table_is_visible", &[1], ScalarValue::from(true)),
        ("pg_type_is_visible", &[1], ScalarValue::from(true)),
        ("pg_relation_is_publishable", &[1], ScalarValue::from(false)),
        // Of what a table here hasn't got there is no definition.
        ("pg_get_expr", &[2, 3], nothing.clone()),
        ("pg_get_constraintdef", &[1, 2], nothing.clone()),
        ("pg_get_indexdef", &[1, 3], nothing.clone()),
        ("pg_get_statisticsobjdef_columns", &[1], nothing),
    ];
    let form = |&count: &usize| if count == 0 { TypeSignature::Nullary } else { TypeSignature::Any(count) };
    let constant = |(name, arguments, value): (&'static str, &[usize], ScalarValue)| {
        let signature = Signature::one_of(arguments.iter().map(form).collect(), Volatility::Stable);
        ScalarUDF::from(Answer { name, signature, value })
    };
    let format_type = FormatType { signature: Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable) };
    constants.into_iter().map(constant).chain([ScalarUDF::from(format_type)]).collect()
}

/// A function that answers the same to everything.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Answer {
    name: &'static str,
    signature: Signature,
    value: ScalarValue,
}

impl ScalarUDFImpl for Answer {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// `format_type(oid, typmod)`: a type's name as people read it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FormatType {
    signature: Signature,
}

impl ScalarUDFImpl for FormatType {
    fn name(&self) -> &str {
        "format_type"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let names: StringArray = arrays[0].as_primitive::<Int64Type>().iter().map(|oid| oid.map(name)).collect();
        Ok(ColumnarValue::Array(Arc::new(names)))
    }
}

fn name(oid: i64) -> String {
    let of = u32::try_from(oid).ok().and_then(Type::from_oid);
    let Some(of) = of else { return "???".to_owned() };
    match of {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::TIME => "time without time zone",
        ref other => other.name(),
    }
    .to_owned()
}
