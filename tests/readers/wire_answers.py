"""Asks the lake over the PostgreSQL wire, as any client of it does: psycopg, with parameters, by its binary protocol.

usage: wire_answers.py HOST PORT
Prints what was found. Exit 1 unless there are rows, a parameter finds the same as a literal, and a write is refused.
"""

import sys

import psycopg

host, port = sys.argv[1:]
with psycopg.connect(host=host, port=port, user="reader", dbname="hangang", autocommit=True, connect_timeout=20) as connection:
    rolled = connection.execute("SELECT count(*), max(observed_at) FROM rollup.traffic_hourly").fetchone()
    print("rollup.traffic_hourly", *rolled)
    literal = connection.execute("SELECT count(*) FROM observed.traffic_volume WHERE spot = 'A-01' AND lane >= 1").fetchone()[0]
    query = "SELECT count(*) FROM observed.traffic_volume WHERE spot = %s AND lane >= %s"
    asked = connection.execute(query, ("A-01", 1), prepare=True, binary=True).fetchone()[0]
    print("observed.traffic_volume of A-01", literal, asked)
    try:
        connection.execute("DELETE FROM observed.traffic_volume")
        refused = None
    except psycopg.Error as error:
        refused = error.sqlstate
    print("a write is refused with", refused)

sys.exit(not (rolled[0] and literal and literal == asked and refused in ("42501", "25006")))
