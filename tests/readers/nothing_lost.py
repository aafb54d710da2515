"""Looks whether a city that was killed again and again lost or repeated anything, sharing no code with Hangang.

usage: nothing_lost.py LAKE_DIR KAFKA SIMULATOR_URL FROM NOW        (KAFKA as host:port; FROM and NOW as RFC 3339)
A fresh consumer reads every topic; deltalake and polars read the lake; the simulator is asked in Seoul's own format.
Prints one line a question. Exit 1 unless every answer is clean.
"""

import http.client
import sys
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timedelta, timezone
from urllib.parse import urlparse

import polars as pl
from confluent_kafka import Consumer, KafkaError, TopicPartition
from deltalake import DeltaTable

lake, kafka, simulator, start, now = sys.argv[1:]
KST = timezone(timedelta(hours=9))
start, now = (datetime.fromisoformat(text).astimezone(timezone.utc) for text in (start, now))
FEEDS = ["traffic_spot", "traffic_volume"]
SETTLED_AFTER = timedelta(hours=24, minutes=30)  # the last re-read of an hour, after its end
WITHIN_S = 60  # a broker that gives nothing for so long is broken
PLACE = ["topic", "partition", "offset"]
SOURCE = [f"source_{part}" for part in PLACE]  # where a refused record stood; a response that was never published has none
amiss = []


def say(what: str, wrong: int) -> None:
    print(f"{'ok   ' if not wrong else 'WRONG'} {what}")
    if wrong:
        amiss.append(what)


def table(name: str) -> pl.DataFrame:
    return pl.read_parquet(DeltaTable(f"{lake}/{name}").file_uris())


def places(frame: pl.DataFrame, topic: str, partition: str, offset: str) -> pl.DataFrame:
    return frame.drop_nulls(topic).select(
        topic=pl.col(topic).cast(pl.String), partition=pl.col(partition).cast(pl.Int64), offset=pl.col(offset).cast(pl.Int64)
    )


def in_topics() -> pl.DataFrame:
    """Every record below the high watermarks, read by a consumer that nobody has seen before."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "nothing-lost", "enable.auto.commit": False})
    names = [name for feed in FEEDS for name in (feed, f"{feed}.dlq")]
    known = consumer.list_topics(timeout=WITHIN_S).topics
    parts = [TopicPartition(name, number) for name in names for number in known[name].partitions]
    ends = {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=WITHIN_S) for p in parts}
    consumer.assign([TopicPartition(p.topic, p.partition, ends[p.topic, p.partition][0]) for p in parts])
    due = {place for place, (low, high) in ends.items() if low < high}
    rows = []
    while due:
        message = consumer.poll(WITHIN_S)
        if message is None:
            raise SystemExit(f"nothing came for {WITHIN_S} s; still due: {sorted(due)}")
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                continue
            raise SystemExit(f"the consumer failed: {message.error()}")
        place = (message.topic(), message.partition())
        if message.offset() < ends[place][1]:
            source = dict(message.headers() or [])
            rows.append((*place, message.offset(), *(source.get(f"source_{part}", b"").decode() or None for part in PLACE)))
        if message.offset() >= ends[place][1] - 1:
            due.discard(place)
    consumer.close()
    schema = dict(zip(PLACE + SOURCE, [pl.String, pl.Int64, pl.Int64, pl.String, pl.String, pl.String]))
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(SOURCE[1:]).cast(pl.Int64))


def asked(connection: http.client.HTTPConnection, path: str) -> list[dict[str, str]]:
    connection.request("GET", path)
    root = ElementTree.fromstring(connection.getresponse().read())
    return [{field.tag: field.text or "" for field in row} for row in root.iter("row")]


def upstream(spots: list[str], hours: list[datetime]) -> pl.DataFrame:
    """What the simulator now says of each hour, lane by lane."""
    connection = http.client.HTTPConnection(urlparse(simulator).netloc, timeout=WITHIN_S)
    rows = []
    for hour in hours:
        local = hour.astimezone(KST)
        for spot in spots:
            for row in asked(connection, f"/hangang/xml/VolInfo/1/1000/{spot}/{local:%Y%m%d}/{local:%H}/"):
                rows.append((row["spot_num"], int(row["io_type"]), int(row["lane_num"]), hour, int(row["vol"])))
    schema = {
        "spot": pl.String, "direction": pl.Int64, "lane": pl.Int64,
        "observed_at": pl.Datetime("us", "UTC"), "volume": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


# Every record stands in the lake, once.
topics = in_topics()
observed = {feed: table(f"observed/{feed}") for feed in FEEDS}
quarantine = table("ops/quarantine")
landed = pl.concat(
    [places(observed[feed], "topic", "partition", "offset") for feed in FEEDS]
    + [places(quarantine, "topic", "partition", "offset")]
)
# A kill between a dead letter and the commit that passes its record leaves two letters of one source: one refusal.
letter = topics.filter(pl.col("topic").str.ends_with(".dlq"))
letters = pl.concat([places(letter.filter(pl.col("source_topic").is_null()), *PLACE), places(letter, *SOURCE).unique()])
refused = pl.concat(
    [
        places(quarantine, "topic", "partition", "offset"),
        places(quarantine.filter(pl.col("topic").is_null()), "dead_letter_topic", "dead_letter_partition", "dead_letter_offset"),
    ]
)
for name, there, found in [
    ("feeds' topics: records", topics.filter(~pl.col("topic").str.ends_with(".dlq")).select(PLACE), landed),
    ("dead letters: refusals", letters, refused),
]:
    lost = there.join(found, on=PLACE, how="anti").height
    invented = found.join(there, on=PLACE, how="anti").height
    twice = found.height - found.unique().height
    say(f"{name} {there.height}, lost {lost}, twice {twice}, invented {invented}", lost + twice + invented + (not there.height))

# Of each lane and hour the newest revision is what the simulator says, once nothing is asked of the hour any more.
volume = observed["traffic_volume"].with_columns(pl.col("observed_at").dt.cast_time_unit("us").dt.convert_time_zone("UTC"))
IDENTITY = ["spot", "direction", "lane", "observed_at"]
newest = (
    volume.with_columns(
        pl.col("spot").cast(pl.String), pl.col("direction", "lane", "volume").cast(pl.Int64), polled=pl.col("topic").is_not_null()
    )
    .sort("received_at", "polled", "generation", "partition", "offset", nulls_last=False)
    .unique(IDENTITY, keep="last")
)
last = now - SETTLED_AFTER - timedelta(hours=1)
hours = [start + timedelta(hours=count) for count in range(int((last - start) / timedelta(hours=1)) + 1)]
spots = [row["spot_num"] for row in asked(http.client.HTTPConnection(urlparse(simulator).netloc), "/hangang/xml/SpotInfo/1/1000/")]
said = upstream(spots, hours)
held = newest.filter(pl.col("polled") & pl.col("observed_at").is_between(start, last)).select(said.columns)
missing, other = said.join(held, on=said.columns, how="anti").height, held.join(said, on=said.columns, how="anti").height
say(f"current: {said.height} lanes of {len(hours)} hours, not in the lake {missing}, else in the lake {other}", missing + other + (not said.height))

# Each rollup row is the sum of its hour's newest lanes, or the imported total where no lane is known.
hour = ["spot", "direction", "observed_at"]
whole = pl.col("lane").max().over(hour) == 0
summed = (
    newest.filter((pl.col("lane") > 0) | whole)
    .group_by(hour)
    .agg(pl.col("volume").sum(), lanes=pl.when(pl.col("lane").max() > 0).then(pl.len().cast(pl.Int64)))
)
rolled = table("rollup/traffic_hourly").select(
    pl.col("spot").cast(pl.String), pl.col("direction").cast(pl.Int64),
    pl.col("observed_at").dt.cast_time_unit("us").dt.convert_time_zone("UTC"), pl.col("volume", "lanes").cast(pl.Int64),
)  # fmt: skip
KEY = [*hour, "volume", "lanes"]
missing = summed.join(rolled, on=KEY, how="anti", nulls_equal=True).height
extra = rolled.join(summed, on=KEY, how="anti", nulls_equal=True).height
twice = rolled.height - rolled.unique(hour).height
say(f"rollup: {summed.height} rows, missing {missing}, extra {extra}, twice {twice}", missing + extra + twice + (not rolled.height))

sys.exit(bool(amiss))
