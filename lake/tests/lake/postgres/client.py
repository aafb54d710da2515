"""What psycopg does in its default mode, asserted from its side. Argument: the port."""

import datetime
import math
import sys
import threading
import time

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

SEOUL = datetime.timezone(datetime.timedelta(hours=9))
MIDNIGHT = datetime.datetime(2022, 10, 1, tzinfo=SEOUL)

where = f"host=127.0.0.1 port={sys.argv[1]} user=tester dbname=hangang"

with psycopg.connect(where) as connection:
    assert connection.info.server_version == 170000, connection.info.server_version
    assert connection.info.encoding == "utf-8"
    assert connection.info.parameter_status("standard_conforming_strings") == "on"

    # A transaction begins with the first statement; parameters of Python's types, text and binary.
    rows = connection.execute(
        "SELECT spot, lane, volume FROM observed.traffic_volume WHERE spot = %s AND observed_at = %s AND volume > %s ORDER BY lane",
        ("A-01", MIDNIGHT, 10),
    ).fetchall()
    assert rows == [("A-01", 1, 100), ("A-01", 2, 50)], rows
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    connection.commit()

    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        row = cursor.execute(
            "SELECT %s::bigint, %s::double precision, %s::text, %s::boolean, %s::date, %b::bytea, NULL, CAST('NaN' AS double precision)",
            (2**53 + 1, 0.1, "O'Brien 한강 \\", True, datetime.date(2022, 10, 1), b"\x00\xff"),
        ).fetchone()
        assert row[:7] == (2**53 + 1, 0.1, "O'Brien 한강 \\", True, datetime.date(2022, 10, 1), b"\x00\xff", None), row
        assert math.isnan(row[7])
        row = cursor.execute("SELECT observed_at, received_at FROM rollup.traffic_hourly ORDER BY 1 LIMIT %s", (1,)).fetchone()
        assert row[0] == MIDNIGHT, row
        assert cursor.execute("SELECT count(*) FROM observed.traffic_volume WHERE spot = ANY(%s)", (["A-01", "B-02"],)).fetchone() == (3,)
        assert cursor.execute("SELECT count(*) FROM observed.traffic_volume WHERE lane = ANY(%s)", ([1, 2],)).fetchone() == (2,)

    # After five executions psycopg prepares a statement under a name.
    for number in range(8):
        assert connection.execute("SELECT %s::int + 1", (number,)).fetchone() == (number + 1,)

    # Names as keys.
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT count(*), max(volume) FROM observed.traffic_volume").fetchone()
        assert row == {"count": 3, "max": 100}, row

    # The session's zone is what datetimes come in.
    connection.execute("SET TIME ZONE 'Asia/Seoul'")
    (observed_at,) = connection.execute("SELECT min(observed_at) FROM rollup.traffic_hourly").fetchone()
    assert (observed_at, observed_at.utcoffset()) == (MIDNIGHT, datetime.timedelta(hours=9)), observed_at
    assert str(connection.info.timezone) == "Asia/Seoul"
    connection.rollback()
    assert str(connection.info.timezone) in ("UTC", "Etc/UTC"), "a rollback undoes SET"

    # An error aborts the transaction until it is rolled back; a savepoint saves it.
    for statement, expected in [
        ("SELECT * FROM rollup.nothing", errors.UndefinedTable),
        ("SELECT colour FROM rollup.traffic_hourly", errors.UndefinedColumn),
        ("SELEC 1", errors.SyntaxError),
        ("SELECT 1 / 0", errors.DivisionByZero),
        ("SELECT 'x'::bigint", errors.InvalidTextRepresentation),
        ("SELECT nothing(1)", errors.UndefinedFunction),
        ("DELETE FROM rollup.traffic_hourly", errors.InsufficientPrivilege),
        ("CREATE TABLE t (a int)", errors.InsufficientPrivilege),
    ]:
        try:
            connection.execute(statement)
            raise AssertionError(f"{statement} went through")
        except expected:
            pass
        try:
            connection.execute("SELECT 1")
            raise AssertionError("an aborted transaction went on")
        except errors.InFailedSqlTransaction:
            connection.rollback()
    with connection.transaction():
        try:
            with connection.transaction():
                connection.execute("SELECT 1 / 0")
        except errors.DivisionByZero:
            pass
        assert connection.execute("SELECT 1").fetchone() == (1,)

    # Rows one by one, while they come.
    numbers = connection.cursor().stream("SELECT value FROM generate_series(1, 100000) ORDER BY 1")
    assert sum(number for (number,) in numbers) == 5000050000
    connection.rollback()

    # Several statements at once, and a pipeline.
    cursor = connection.execute("SELECT 1; SELECT 2")
    assert cursor.fetchone() == (1,) and cursor.nextset() and cursor.fetchone() == (2,)
    connection.rollback()
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(5)]
    assert [cursor.fetchone()[0] for cursor in cursors] == [0, 1, 2, 3, 4]
    connection.rollback()

    # Ctrl-C.
    threading.Timer(0.3, connection.cancel).start()
    begun = time.monotonic()
    try:
        connection.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a.value * b.value %% 7 = %s", (3,))
        raise AssertionError("it was not cancelled")
    except errors.QueryCanceled:
        assert time.monotonic() - begun < 10
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)

print("all asserted")
