"""Queries out of logs that a real server wrote, in its three formats."""

from __future__ import annotations

import gzip
from pathlib import Path

import psycopg
import pytest

from outreachdb.advisor.workload.logs import from_log
from outreachdb.db.embedded import throwaway
from outreachdb.errors import InvalidInput

PREFIXED = """\
2026-11-20 10:00:00.000 UTC [1] app@shop LOG:  duration: 10.5 ms  statement: SELECT *
\tFROM orders
\tWHERE id = 7
2026-11-20 10:00:01.000 UTC [1] app@shop LOG:  duration: 30.0 ms  execute s1: SELECT * FROM orders WHERE id = $1
2026-11-20 10:00:01.000 UTC [1] app@shop DETAIL:  Parameters: $1 = '8'
2026-11-20 10:00:02.000 UTC [1] app@shop LOG:  duration: 99.0 ms  parse <unnamed>: SELECT * FROM orders WHERE id = $1
2026-11-20 10:00:03.000 UTC [1] app@shop LOG:  duration: 55.0 ms  plan:
\tQuery Text: SELECT total FROM orders
\t  WHERE note = 'a (cost=) b'
\tSeq Scan on orders  (cost=0.00..1.00 rows=1 width=4)
\t  Filter: (note = 'x'::text)
2026-11-20 10:00:04.000 UTC [1] app@shop ERROR:  relation "nowhere" does not exist at character 15
2026-11-20 10:00:04.000 UTC [1] app@shop STATEMENT:  SELECT * FROM nowhere
2026-11-20 10:00:05.000 UTC [1] app@shop LOG:  statement: SELECT 1
2026-11-20 10:00:06.000 UTC [1] app@shop LOG:  duration: 5.0 ms  statement: SELECT cut off by ((
2026-11-20 10:00:06.000 UTC [1] app@shop LOG:  checkpoint starting: time
"""


def test_stderr_with_several_lines_plans_and_parameters(tmp_path: Path) -> None:
    path = tmp_path / "server.log.gz"
    path.write_bytes(gzip.compress(PREFIXED.encode()))
    found = {each.text: (each.calls, each.total_ms) for each in from_log(path).statements}
    assert found == {
        "SELECT total FROM orders\n  WHERE note = 'a (cost=) b'": (1, 55.0),
        "SELECT * FROM orders WHERE id = $1": (2, 40.5),
        "SELECT 1": (1, 1.0),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no statement"),
        ("hello\n", "holds no statement"),
        ('{"message": "x"}\nnonsense\n', "line 2: not a line of a jsonlog"),
    ],
)
def test_what_is_no_log(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.log").write_text(text)
    with pytest.raises(InvalidInput, match=said):
        from_log(tmp_path / "a.log")


@pytest.mark.slow
def test_a_real_server_says_the_same_in_all_formats() -> None:
    with throwaway() as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for setting in ("logging_collector = on", "log_destination = 'stderr,csvlog,jsonlog'",
                            "log_min_duration_statement = 0", "log_filename = 'all.log'",
                            "log_line_prefix = '%m [%p] %q%u@%d, %a, '"):  # fmt: skip
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        server.stop()
        server.start()
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE orders (id int, note text)")
            for number in range(5):
                connection.execute(
                    f"SELECT note,\n  id FROM orders WHERE id = {number} AND note <> 'a, \"b\"'".encode()
                )
            connection.execute("SELECT id FROM orders WHERE note = %s", ["x\ty"])
            row = connection.execute("SELECT current_setting('data_directory') || '/log'").fetchone()
        server.stop()
        folder = Path(str(row[0] if row else ""))
        found = [
            {(each.text.split("WHERE")[0], each.calls, round(each.total_ms, 3)) for each in from_log(path).statements
             if "orders" in each.text}
            for path in (folder / "all.log", folder / "all.csv", folder / "all.json")
        ]  # fmt: skip
    assert {text: calls for text, calls, _ in found[0]} == {
        "CREATE TABLE orders (id int, note text)": 1,
        "SELECT note,\n  id FROM orders ": 5,
        "SELECT id FROM orders ": 1,
    }
    assert found[0] == found[1] == found[2]
