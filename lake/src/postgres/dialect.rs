//! Small forms of PostgreSQL's SQL that DataFusion doesn't plan, written in the form that it does.
//!
//! Only forms with one meaning are rewritten: `OPERATOR(pg_catalog.~)` is `~`, `pg_catalog.version()` is `version()`,
//! `COLLATE` is dropped (every text here compares by its bytes, as in PostgreSQL's "C"). Never changes what is read.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr, Statement, VisitMut, VisitorMut};

pub(super) fn adapt(statement: &mut Statement) {
    struct Adapt;

    impl VisitorMut for Adapt {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Collate { expr: inner, .. } => {
                    *expr = std::mem::replace(inner, Expr::Value(datafusion::sql::sqlparser::ast::Value::Null.into()))
                }
                Expr::BinaryOp { op, .. } => {
                    if let Some(plain) = plain(op) {
                        *op = plain;
                    }
                }
                Expr::Function(function) => {
                    let parts = &mut function.name.0;
                    if parts.len() == 2
                        && parts[0].as_ident().is_some_and(|schema| schema.value.eq_ignore_ascii_case("pg_catalog"))
                    {
                        parts.remove(0);
                    }
                }
                Expr::Cast { data_type, .. } => {
                    if let Some(plain) = plain_type(data_type) {
                        *data_type = plain;
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }

    let _ = statement.visit(&mut Adapt);
}

fn plain(operator: &BinaryOperator) -> Option<BinaryOperator> {
    let BinaryOperator::PGCustomBinaryOperator(parts) = operator else { return None };
    Some(match parts.last()?.as_str() {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        _ => return None,
    })
}

/// Types named with their schema, and names that are text here.
fn plain_type(of: &DataType) -> Option<DataType> {
    let DataType::Custom(name, _) = of else { return None };
    let written = name.to_string().to_lowercase();
    Some(match written.strip_prefix("pg_catalog.").unwrap_or(&written) {
        "text" | "name" | "regtype" | "regclass" | "regnamespace" | "regproc" => DataType::Text,
        "char" | "\"char\"" => DataType::Text,
        "oid" | "int8" => DataType::BigInt(None),
        "int4" => DataType::Int(None),
        "bool" => DataType::Boolean,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn psqls_long_forms_become_plain_ones() {
        let sql = "SELECT pg_catalog.version(), a::pg_catalog.text FROM t WHERE n OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default";
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop().unwrap();
        adapt(&mut statement);
        assert_eq!(statement.to_string(), "SELECT version(), a::TEXT FROM t WHERE n ~ '^(x)$'");
    }
}
