//! What was measured: figures with their units, goals beside them, and why a goal was not met.

use std::fmt;

/// One figure.
pub struct Row {
    pub what: String,
    pub figure: String,
    pub goal: Option<Goal>,
}

/// What a figure should be.
pub struct Goal {
    pub text: String,
    pub met: bool,
    /// Where it is not met: why, as far as this run can tell.
    pub reason: String,
}

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a figure, and prints it at once.
    pub fn add(&mut self, what: impl Into<String>, figure: impl Into<String>, goal: Option<Goal>) {
        let row = Row { what: what.into(), figure: figure.into(), goal };
        println!("  {}: {}", row.what, row.figure);
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Row) -> &str| self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
        let (what, figure) = (width(|row| &row.what), width(|row| &row.figure));
        let goal = width(|row| row.goal.as_ref().map_or("", |goal| &goal.text)).max("goal".len());
        writeln!(f, "{:<what$}  {:>figure$}  {:<goal$}", "measured", "figure", "goal")?;
        writeln!(f, "{}", "-".repeat(what + figure + goal + 13))?;
        for row in &self.rows {
            let (text, verdict) = match &row.goal {
                None => ("", ""),
                Some(goal) => (goal.text.as_str(), if goal.met { "met" } else { "NOT met" }),
            };
            let line = format!("{:<what$}  {:>figure$}  {text:<goal$}  {verdict}", row.what, row.figure);
            writeln!(f, "{}", line.trim_end())?;
        }
        for row in &self.rows {
            if let Some(goal) = row.goal.as_ref().filter(|goal| !goal.met) {
                writeln!(f, "\nNOT met: {}, {} where the goal is {}: {}", row.what, row.figure, goal.text, goal.reason)?;
            }
        }
        Ok(())
    }
}

/// A count in the unit that reads best: `3.1 M`, `288 k`, `950`.
pub fn short(number: f64) -> String {
    match number {
        1e6.. => format!("{:.2} M", number / 1e6),
        1e3.. => format!("{:.0} k", number / 1e3),
        _ => format!("{number:.0}"),
    }
}

pub fn median(mut numbers: Vec<f64>) -> f64 {
    assert!(!numbers.is_empty(), "a median is of something");
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
