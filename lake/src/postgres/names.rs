//! What a column without an alias is called: PostgreSQL's rule, which clients use as keys (`row["count"]`).
//!
//! Only names in the row description are changed, never the plan, so that nothing else can depend on them here.
//! Source: `FigureColname` in PostgreSQL's parse_target.c.

use datafusion::sql::sqlparser::ast::{DataType, Expr, Ident, Query, SelectItem, SetExpr, Statement};

/// Names by position, `None` where DataFusion's name is right. Columns behind a `*` keep DataFusion's.
pub(super) fn of(statement: &Statement) -> Vec<Option<String>> {
    let Statement::Query(query) = statement else { return Vec::new() };
    let Some(items) = items(query) else { return Vec::new() };
    let wildcard = |item: &&SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    items
        .iter()
        .take_while(|item| !wildcard(item))
        .map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
            SelectItem::UnnamedExpr(expr) => Some(name(expr).unwrap_or_else(|| UNNAMED.to_owned())),
            _ => None,
        })
        .collect()
}

/// What PostgreSQL calls a column for which it has no better name.
const UNNAMED: &str = "?column?";

/// The columns of the leftmost SELECT: it names those of a UNION.
fn items(query: &Query) -> Option<&[SelectItem]> {
    let mut body = &query.body;
    loop {
        match &**body {
            SetExpr::Select(select) => return Some(&select.projection),
            SetExpr::Query(query) => body = &query.body,
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return None,
        }
    }
}

fn name(expr: &Expr) -> Option<String> {
    Some(match expr {
        Expr::Identifier(word) => normal(word),
        Expr::CompoundIdentifier(words) => normal(words.last()?),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => return name(inner),
        Expr::Function(function) => function.name.0.last()?.as_ident().map(normal)?,
        Expr::Cast { expr: inner, data_type, .. } => return name(inner).or_else(|| Some(type_name(data_type))),
        Expr::TypedString(typed) => type_name(&typed.data_type),
        Expr::Case { else_result, .. } => else_result.as_deref().and_then(name).unwrap_or_else(|| "case".to_owned()),
        Expr::Subquery(query) => match items(query)?.first()? {
            SelectItem::UnnamedExpr(inner) => return name(inner),
            SelectItem::ExprWithAlias { alias, .. } => normal(alias),
            _ => return None,
        },
        Expr::Extract { .. } => "extract".to_owned(),
        Expr::Ceil { .. } => "ceil".to_owned(),
        Expr::Floor { .. } => "floor".to_owned(),
        Expr::Position { .. } => "position".to_owned(),
        Expr::Substring { .. } => "substring".to_owned(),
        Expr::Trim { .. } => "btrim".to_owned(),
        Expr::Overlay { .. } => "overlay".to_owned(),
        Expr::AtTimeZone { .. } => "timezone".to_owned(),
        Expr::Exists { .. } => "exists".to_owned(),
        Expr::Array(_) => "array".to_owned(),
        Expr::Interval(_) => "interval".to_owned(),
        Expr::Value(value) if matches!(value.value, datafusion::sql::sqlparser::ast::Value::Boolean(_)) => "bool".to_owned(),
        _ => return None,
    })
}

fn normal(word: &Ident) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }
}

/// PostgreSQL's internal name of a type.
fn type_name(of: &DataType) -> String {
    let written = of.to_string().to_lowercase();
    let bare = written.split('(').next().unwrap_or(&written).trim();
    match bare {
        "bigint" => "int8",
        "integer" | "int" => "int4",
        "smallint" => "int2",
        "double precision" | "double" | "float" => "float8",
        "real" => "float4",
        "boolean" => "bool",
        "decimal" | "dec" => "numeric",
        "character varying" => "varchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn names(sql: &str) -> String {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop().unwrap();
        of(&statement).into_iter().map(|name| name.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_named_as_postgresql_names_them() {
        assert_eq!(
            names("SELECT count(*), Max(volume), a.b, c AS d, 1, 'x', a + 1 FROM t"),
            "count max b d ?column? ?column? ?column?"
        );
        assert_eq!(
            names("SELECT '1'::bigint, CAST(b AS text), DATE '2022-10-01', date_trunc('day', x)::date"),
            "int8 b date date_trunc"
        );
        assert_eq!(names("SELECT CASE WHEN a THEN 1 END, CASE WHEN a THEN 1 ELSE b END, EXTRACT(hour FROM x)"), "case b extract");
        assert_eq!(names("SELECT (SELECT max(a) FROM t), EXISTS (SELECT 1), x AT TIME ZONE 'UTC'"), "max exists timezone");
        assert_eq!(names("SELECT count(*), * FROM t"), "count");
        assert_eq!(names("SELECT sum(a) FROM t UNION SELECT min(b) FROM t"), "sum");
        assert_eq!(names("VALUES (1)"), "");
    }
}
