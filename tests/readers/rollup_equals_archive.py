"""Compares rollup.traffic_hourly and observed.traffic_volume with the archive's CSV, sharing no code with Hangang.

usage: rollup_equals_archive.py LAKE_DIR ARCHIVE_CSV FROM TO        (dates in KST, both included)
Prints the rows expected and found and both differences. Exit 1 unless both differences are empty and every observed
row of those days has a lane >= 1 and a topic offset.
"""

import sys
from datetime import date, datetime, timedelta, timezone

import polars as pl
from deltalake import DeltaTable

lake, archive, first, last = sys.argv[1:]
KST = timezone(timedelta(hours=9))
begin = datetime.combine(date.fromisoformat(first), datetime.min.time(), KST)
end = datetime.combine(date.fromisoformat(last), datetime.min.time(), KST) + timedelta(days=1)
KEY = ["spot", "direction", "observed_at", "volume"]


def read(name: str) -> pl.DataFrame:
    return pl.read_parquet(DeltaTable(f"{lake}/{name}").file_uris()).filter(
        (pl.col("observed_at") >= begin) & (pl.col("observed_at") < end)
    )


expected = (
    pl.read_csv(archive, schema_overrides={"vol": pl.Int64})
    .drop_nulls("vol")
    .select(
        spot="spot_num",
        direction=pl.col("io_type").cast(pl.Int64),
        observed_at=pl.col("observed_at")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us")
        .dt.convert_time_zone("UTC"),
        volume="vol",
    )
    .filter((pl.col("observed_at") >= begin) & (pl.col("observed_at") < end))
)
found = read("rollup/traffic_hourly").select(
    pl.col("spot").cast(pl.String),
    pl.col("direction").cast(pl.Int64),
    pl.col("observed_at").dt.cast_time_unit("us").dt.convert_time_zone("UTC"),
    pl.col("volume").cast(pl.Int64),
)
missing = expected.join(found, on=KEY, how="anti")
extra = found.join(expected, on=KEY, how="anti")
observed = read("observed/traffic_volume")
stray = observed.filter((pl.col("lane") < 1) | pl.col("offset").is_null() | pl.col("topic").is_null())
print(
    f"expected {expected.height}, found {found.height}, missing {missing.height}, extra {extra.height}, "
    f"observed {observed.height}, without a lane or a topic offset {stray.height}"
)
sys.exit(bool(missing.height or extra.height or stray.height or not expected.height or found.height != expected.height))
