//! Small forms of PostgreSQL's SQL that DataFusion doesn't plan, written in the form that it does.
//!
//! Only forms with one meaning are rewritten: `OPERATOR(pg_catalog.~)` is `~`, `pg_catalog.version()` is `version()`,
//! `COLLATE` is dropped (every text here compares by its bytes, as in PostgreSQL's "C"). Never changes what is read.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, GroupByExpr, Ident, Join, JoinOperator, Query, Select, SelectItem, SetExpr,
    Statement, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut, visit_expressions,
};

use super::catalog::is_empty;
use super::parameters::text_array;

pub(super) fn adapt(statement: &mut Statement) {
    struct Adapt;

    impl VisitorMut for Adapt {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if matches!(&*query.body, SetExpr::Select(select) if empty(select)) {
                query.order_by = None;
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            if empty(select) {
                nothing(select);
            }
            distinguish(&mut select.projection);
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            match expr {
                Expr::Collate { expr: inner, .. } => *expr = std::mem::replace(inner, Expr::Value(Value::Null.into())),
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
                Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                    if let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = &**right
                        && let Some(array) = text_array(text)
                    {
                        **right = array;
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }

    let _ = statement.visit(&mut Adapt);
}

/// A SELECT that reads a table of `pg_catalog` which is empty here, as of policies: it has no rows, whatever it asks
/// of them, so that what DataFusion can't plan in it needn't be planned.
fn empty(select: &Select) -> bool {
    let empty = |factor: &TableFactor| matches!(factor, TableFactor::Table { name, .. } if name.0.last().is_some_and(|name| is_empty(&name.to_string())));
    // A join that keeps the other side's rows, or an aggregate, makes rows of nothing.
    let inner = |join: &Join| {
        matches!(
            join.join_operator,
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::Left(_) | JoinOperator::LeftOuter(_)
        )
    };
    let reads = select.from.iter().any(|from| empty(&from.relation) && from.joins.iter().all(inner));
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    reads && !grouped && !select.projection.iter().any(aggregates)
}

/// Whether a column may be an aggregate: any function is taken for one that isn't of PostgreSQL's own housekeeping.
fn aggregates(item: &SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return true };
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Function(function) => {
            let name = function.name.0.last().map(|name| name.to_string().to_lowercase()).unwrap_or_default();
            let housekeeping = name.starts_with("pg_")
                || ["array", "array_to_string", "array_upper", "format_type", "generate_series"].contains(&name.as_str());
            // An aggregate in a subquery is that query's own; psql has one in a CASE of its publications.
            if housekeeping || name == "string_agg" { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Columns of one name, as in `SELECT 1, 1` or `SELECT a, a`: DataFusion wants each to have its own. The client is told
/// the names that were written (`names`).
fn distinguish(items: &mut [SelectItem]) {
    let mut seen = HashSet::new();
    for (index, item) in items.iter_mut().enumerate() {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.clone(), expr.to_string()),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.value.clone()),
            _ => continue,
        };
        if !seen.insert(name.clone()) {
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', format!("{name}#{index}")) };
        }
    }
}

/// The same columns, and no rows.
fn nothing(select: &mut Select) {
    for item in &mut select.projection {
        let named = match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().cloned(),
            _ => None,
        };
        let null = Expr::Value(Value::Null.into());
        let expr =
            Expr::Cast { kind: CastKind::Cast, expr: Box::new(null), data_type: DataType::Text, array: false, format: None };
        *item = match named {
            Some(alias) => SelectItem::ExprWithAlias { expr, alias },
            None => SelectItem::UnnamedExpr(expr),
        };
    }
    select.from.clear();
    select.selection = Some(Expr::Value(Value::Boolean(false).into()));
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

    fn adapted(sql: &str) -> String {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop().unwrap();
        adapt(&mut statement);
        statement.to_string()
    }

    #[test]
    fn a_table_without_rows_gives_none_whatever_is_asked_of_it() {
        let sql = "SELECT pol.polname, array_to_string(array(SELECT 1), ',') AS roles FROM pg_catalog.pg_policy pol WHERE pol.polrelid = '1' ORDER BY pol.oid";
        assert_eq!(adapted(sql), "SELECT CAST(NULL AS TEXT) AS polname, CAST(NULL AS TEXT) AS roles WHERE false");
        for kept in [
            "SELECT count(*) FROM pg_policy",
            "SELECT c.oid FROM pg_class AS c LEFT JOIN pg_policy AS p ON p.oid = c.oid",
            "SELECT * FROM pg_policy",
        ] {
            assert_eq!(adapted(kept), kept);
        }
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        assert_eq!(adapted("SELECT 1, 1, a, b AS a, *"), "SELECT 1, 1 AS \"1#1\", a, b AS \"a#3\", *");
    }

    #[test]
    fn psqls_long_forms_become_plain_ones() {
        assert_eq!(adapted("SELECT spot = ANY('{A,B}')"), "SELECT spot = ANY(ARRAY['A', 'B'])");
        let sql = "SELECT pg_catalog.version(), a::pg_catalog.text FROM t WHERE n OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default";
        assert_eq!(adapted(sql), "SELECT version(), a::TEXT FROM t WHERE n ~ '^(x)$'");
    }
}
