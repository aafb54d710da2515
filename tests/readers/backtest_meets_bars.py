"""Scores a traffic backtest from the raw archive, sharing no code with Hangang.

usage: backtest_meets_bars.py FORECASTS.parquet ARCHIVE_CSV
Prints the error of the median beside that of the value a week before, the coverage of p10..p90, and what is absent,
repeated or crossing. Exit 1 unless the ratio is at most 0.62, the coverage within 80 +- 3 %, and nothing amiss.
"""

import sys
from datetime import timedelta

import polars as pl

forecasts, archive = sys.argv[1:]
KEY = ["series", "valid_at"]
actual = (
    pl.read_csv(archive, schema_overrides={"vol": pl.Float64})
    .drop_nulls("vol")
    .select(
        series=pl.format("{}/{}", "spot_num", "io_type"),
        valid_at=pl.col("observed_at")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us")
        .dt.convert_time_zone("UTC"),
        actual="vol",
    )
)
week = actual.select("series", pl.col("valid_at") + timedelta(days=7), week="actual")
made = pl.read_parquet(forecasts).select(
    "series", pl.col("valid_at").dt.cast_time_unit("us").dt.convert_time_zone("UTC"), "p10", "p50", "p90"
)
due = actual.filter((pl.col("valid_at") >= made["valid_at"].min()) & (pl.col("valid_at") <= made["valid_at"].max()))
met = due.join(made, on=KEY, how="left")
absent = met.filter(pl.any_horizontal(pl.col("p10", "p50", "p90").is_null())).height
repeated = met.height - due.height
crossing = met.filter((pl.col("p10") > pl.col("p50")) | (pl.col("p50") > pl.col("p90")) | (pl.col("p10") < 0)).height
beside = met.join(week, on=KEY, how="inner")
ratio = (beside["p50"] - beside["actual"]).abs().mean() / (beside["week"] - beside["actual"]).abs().mean()
coverage = met.select(pl.col("actual").is_between("p10", "p90").mean()).item()
print(
    f"{due.height} series-hours: error {ratio:.3f} of last week's, coverage {coverage:.3f}, "
    f"absent {absent}, repeated {repeated}, crossing {crossing}"
)
sys.exit(not (ratio <= 0.62 and abs(coverage - 0.80) <= 0.03 and absent == repeated == crossing == 0))
