"""How PostgreSQL goes about the steps of an import."""

from __future__ import annotations

from outreachdb.leads.importing import import_file
from outreachdb.leads.importing.merging import Merge

# What makes parallel workers worth their while for any number of rows.
WORKERS = """SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;
    SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL max_parallel_workers_per_gather = 1"""


async def test_parallel_workers_judge_the_rows_with_all_that_is_joined(tenant, tmp_path, monkeypatch):
    path = tmp_path / "leads.csv"
    rows = "".join(
        f'lead{number}@example.com,030 {number:06d},DE,"vip, b{number % 5}",{number}\n' for number in range(400)
    )
    path.write_text(f"email,phone,country,tags,employees\n{rows}jürgen@exämple.com,030 123,DE,vip,5\n")
    plans = []
    do = Merge._do

    async def explained(merge, step, **parts):
        if step == "clean":
            statement = merge._staging.statement(step, **parts)
            connection = await merge._session.connection()
            await connection.execute(WORKERS)
            plan = await (await connection.execute(b"EXPLAIN " + statement.as_bytes().replace(b"%%", b"%"))).fetchall()
            plans.append([line for row in plan for line in row.values()])
        return await do(merge, step, **parts)

    monkeypatch.setattr(Merge, "_do", explained)
    report = await import_file(tenant, path)
    (plan,) = plans
    found = {name: next(n for n, line in enumerate(plan) if name in line)
             for name in ("Gather", "on judged", "on typed", "tagged", "dialled", "addresses")}  # fmt: skip
    assert report.inserted == 401
    assert sum("Gather" in line for line in plan) == 1
    assert (
        found["Gather"]
        < found["on judged"]
        < found["on typed"]
        < min(found["tagged"], found["dialled"], found["addresses"])
    )
