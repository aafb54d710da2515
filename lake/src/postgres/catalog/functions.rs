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
    let constants = [
        ("version", 0, text(&version)),
        ("current_database", 0, text(crate::CATALOG)),
        ("current_catalog", 0, text(crate::CATALOG)),
        ("current_schema", 0, text("public")),
        ("current_user", 0, text(user)),
        ("session_user", 0, text(user)),
        ("pg_backend_pid", 0, ScalarValue::from(pid)),
        ("pg_is_in_recovery", 0, ScalarValue::from(false)),
        ("pg_get_userbyid", 1, text(OWNER)),
        ("pg_encoding_to_char", 1, text("UTF8")),
        // Every table is named with its schema in what psql prints, and is there for everybody.
        ("pg_table_is_visible", 1, ScalarValue::from(true)),
        ("pg_type_is_visible", 1, ScalarValue::from(true)),
        ("pg_relation_is_publishable", 1, ScalarValue::from(false)),
        // Of what a table here hasn't got there is no definition.
        ("pg_get_expr", 2, ScalarValue::Utf8(None)),
        ("pg_get_expr", 3, ScalarValue::Utf8(None)),
        ("pg_get_constraintdef", 2, ScalarValue::Utf8(None)),
        ("pg_get_statisticsobjdef_columns", 1, ScalarValue::Utf8(None)),
    ];
    let mut functions: Vec<Constant> = Vec::new();
    for (name, arguments, value) in constants {
        match functions.iter_mut().find(|function| function.name == name) {
            Some(function) => function.arguments.push(arguments),
            None => functions.push(Constant { name, arguments: vec![arguments], value }),
        }
    }
    let constants = functions.into_iter().map(|function| ScalarUDF::from(function.finished()));
    constants
        .chain([ScalarUDF::from(FormatType {
            signature: Signature::exact(vec![DataType::Int64, DataType::Int64], Volatility::Immutable),
        })])
        .collect()
}

/// A function that answers the same to everything.
#[derive(Debug)]
struct Constant {
    name: &'static str,
    arguments: Vec<usize>,
    value: ScalarValue,
}

impl Constant {
    fn finished(self) -> Answer {
        let forms =
            self.arguments.iter().map(|&count| if count == 0 { TypeSignature::Nullary } else { TypeSignature::Any(count) });
        Answer { signature: Signature::one_of(forms.collect(), Volatility::Stable), name: self.name, value: self.value }
    }
}

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
