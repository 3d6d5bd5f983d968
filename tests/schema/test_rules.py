"""Every rule of the database, tried by direct SQL with values that it accepts and values that it refuses, by name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg
from rules import COLUMN_RULES, LAUNCH, ROW_RULES, UNIQUE, Connection, Parents, Row, base, insert, make_parents

from outreachdb.errors import CONSTRAINT_MESSAGES, CONSTRAINT_WAYS, Conflict, ConstraintViolated, from_database

NAMES = """
SELECT k.conname FROM pg_constraint AS k
WHERE k.contype = %s AND k.connamespace::regnamespace::text IN ('outreach', 'analytics', 'ops') AND k.conparentid = 0
"""
UNIQUE_INDEXES = """
SELECT i.relname FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
WHERE i.relnamespace::regnamespace::text IN ('outreach', 'analytics', 'ops') AND x.indisunique AND NOT x.indisprimary
  AND t.relkind IN ('r', 'p')
"""
FOREIGN_KEYS = """
SELECT k.conname, c.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (n, place)
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.n ORDER BY u.place)
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND k.connamespace = 'outreach'::regnamespace AND k.conparentid = 0
"""
# A partition's key has a name of its own.
PARENT_OF_INDEX = """
SELECT p.relname FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_class AS p ON p.oid = i.inhparent
WHERE c.relname = %s AND c.relnamespace = 'parts'::regnamespace
"""
TAKEN_ELSEWHERE = {"uq_workspaces_name", "uq_api_keys_key_hash", "uq_partition_archives_under_way"}


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def ours(connection: Connection) -> Parents:
    return make_parents(connection)


@pytest.fixture(scope="module")
def theirs(connection: Connection) -> Parents:
    return make_parents(connection)


def _put(connection: Connection, table: str, *rows: Row) -> psycopg.Error | None:
    """Insert rows and take them back; the error, if one was refused."""
    try:
        with connection.transaction(force_rollback=True):
            for row in rows:
                insert(connection, table, row)
    except psycopg.Error as error:
        return error
    return None


def _refused_with_a_send(connection: Connection, parents: Parents, statement: str, given: list[Any]) -> str | None:
    """The foreign key that refuses a statement once a send exists; None when it goes through."""
    try:
        with connection.transaction(force_rollback=True):
            insert(connection, "email_sends", base("email_sends", parents))
            connection.execute(statement.encode(), given)
    except pg.ForeignKeyViolation as error:
        return error.diag.constraint_name
    return None


def _column_cases(place: int) -> list[Any]:
    return [
        pytest.param(name, table, {column: value}, id=f"{name}-{value!r:.30}")
        for name, (table, column, *values) in COLUMN_RULES.items()
        for value in values[place]
    ] + [
        pytest.param(name, rule[0], row, id=f"{name}-{number}")
        for name, rule in ROW_RULES.items()
        for number, row in enumerate(rule[1 + place])
    ]


@pytest.mark.parametrize(("name", "table", "change"), _column_cases(0))
def test_accepted(connection: Connection, ours: Parents, name: str, table: str, change: Row) -> None:
    assert _put(connection, table, base(table, ours) | change) is None


@pytest.mark.parametrize(("name", "table", "change"), _column_cases(1))
def test_refused(connection: Connection, ours: Parents, name: str, table: str, change: Row) -> None:
    error = _put(connection, table, base(table, ours) | change)
    assert isinstance(error, pg.CheckViolation)
    assert error.diag.constraint_name == name


def test_every_check_is_tried(connection: Connection) -> None:
    live = {name for (name,) in connection.execute(NAMES, ["c"])}
    assert live == COLUMN_RULES.keys() | ROW_RULES.keys()


@pytest.mark.parametrize("name", UNIQUE)
def test_a_key_is_taken_once_in_a_workspace(connection: Connection, ours: Parents, theirs: Parents, name: str) -> None:
    table, first, second = UNIQUE[name]
    error = _put(connection, table, base(table, ours) | first, base(table, ours) | second)
    assert isinstance(error, pg.UniqueViolation)
    assert error.diag.constraint_name == name
    elsewhere = _put(connection, table, base(table, ours) | first, base(table, theirs) | second)
    assert (elsewhere is not None) == (name in TAKEN_ELSEWHERE)


def test_every_key_is_tried(connection: Connection) -> None:
    live = {name for (name,) in connection.execute(UNIQUE_INDEXES)}
    # The first is tried below; the second holds whatever the primary key holds, and is there for a foreign key.
    assert live == UNIQUE.keys() | {"uq_email_sends_exactly_once", "uq_campaigns_launched_at"}


def test_leads_without_an_address_may_be_many(connection: Connection, ours: Parents) -> None:
    nameless = base("leads", ours) | {"email": None}
    assert _put(connection, "leads", nameless, nameless, nameless) is None


def test_a_name_and_a_domain_may_both_be_a_company(connection: Connection, ours: Parents) -> None:
    known = base("companies", ours)
    assert (
        _put(connection, "companies", known, known | {"domain": "acme.example"}, known | {"domain": "a.example"})
        is None
    )


def test_runs_of_a_campaign_share_its_name(connection: Connection, ours: Parents) -> None:
    campaign = base("campaigns", ours)
    assert _put(connection, "campaigns", campaign, campaign | {"run": 2}) is None


def test_no_foreign_key_crosses_workspaces(connection: Connection, ours: Parents, theirs: Parents) -> None:
    keys = connection.execute(FOREIGN_KEYS).fetchall()
    assert len(keys) > 30
    for name, table, columns in keys:
        change = {"workspace_id": 0} if columns == ["workspace_id"] else {columns[1]: getattr(theirs, columns[1])}
        error = _put(connection, table, base(table, ours) | change)
        assert isinstance(error, pg.ForeignKeyViolation), name
        assert error.diag.constraint_name == name


def test_a_send_is_scheduled_once(connection: Connection, ours: Parents) -> None:
    send = base("email_sends", ours)
    assert _put(connection, "email_sends", send, send | {"step": 2}) is None
    error = _put(connection, "email_sends", send, send | {"status": "cancelled", "recipient": "other@acme.example"})
    assert isinstance(error, pg.UniqueViolation)
    assert connection.execute(PARENT_OF_INDEX, [error.diag.constraint_name]).fetchall() == [
        ("uq_email_sends_exactly_once",)
    ]


@pytest.mark.parametrize("off", [timedelta(microseconds=1), timedelta(microseconds=-1), timedelta(days=1)])
def test_a_send_carries_its_run_s_instant_exactly(connection: Connection, ours: Parents, off: timedelta) -> None:
    error = _put(connection, "email_sends", base("email_sends", ours) | {"created_at": LAUNCH + off})
    assert isinstance(error, pg.ForeignKeyViolation)
    assert error.diag.constraint_name == "fk_email_sends_campaign_run"


@pytest.mark.parametrize("instant", [LAUNCH + timedelta(microseconds=1), None])
def test_the_launch_instant_stays_while_sends_exist(connection: Connection, ours: Parents, instant: Any) -> None:
    change = "UPDATE outreach.campaigns SET launched_at = %s, status = 'cancelled' WHERE workspace_id = %s AND id = %s"
    given = [instant, ours.workspace_id, ours.campaign_id]
    assert _refused_with_a_send(connection, ours, change, given) == "fk_email_sends_campaign_run"
    with connection.transaction(force_rollback=True):
        assert connection.execute(change, given).rowcount == 1


def test_a_lead_with_sends_stays(connection: Connection, ours: Parents) -> None:
    delete = "DELETE FROM outreach.leads WHERE workspace_id = %s AND id = %s"
    given = [ours.workspace_id, ours.lead_id]
    assert _refused_with_a_send(connection, ours, delete, given) == "fk_email_sends_lead"
    with connection.transaction(force_rollback=True):
        insert(connection, "lead_engagement", base("lead_engagement", ours))
        connection.execute(delete, given)
        left = connection.execute("SELECT FROM outreach.lead_engagement WHERE workspace_id = %s", given[:1])
        assert left.fetchall() == []


def test_owned_children_go_with_their_campaign(connection: Connection, theirs: Parents) -> None:
    with connection.transaction(force_rollback=True):
        for child in ("campaign_steps", "campaign_mailboxes", "send_exclusions"):
            insert(connection, child, base(child, theirs))
        connection.execute(
            "DELETE FROM outreach.campaigns WHERE workspace_id = %s AND id = %s",
            [theirs.workspace_id, theirs.campaign_id],
        )
        for child in ("campaign_steps", "campaign_mailboxes", "send_exclusions"):
            left = connection.execute(
                f"SELECT FROM outreach.{child} WHERE workspace_id = %s".encode(), [theirs.workspace_id]
            )
            assert left.fetchall() == [], child


def _refusal(connection: Connection, parents: Parents, name: str) -> psycopg.Error | None:
    if name in UNIQUE:
        table, first, second = UNIQUE[name]
        return _put(connection, table, base(table, parents) | first, base(table, parents) | second)
    table, column, _, refused = COLUMN_RULES[name]
    return _put(connection, table, base(table, parents) | {column: refused[0]})


# Sends are refused by their month's index: tests/sending has it.
@pytest.mark.parametrize("name", sorted(CONSTRAINT_MESSAGES.keys() - {"uq_email_sends_exactly_once"}))
def test_a_refusal_is_told_in_words(connection: Connection, ours: Parents, name: str) -> None:
    error = _refusal(connection, ours, name)
    assert isinstance(error, psycopg.Error)
    told = from_database(error, doing="trying")
    assert type(told) is (Conflict if name in UNIQUE else ConstraintViolated)
    assert told.detail == f"trying: {CONSTRAINT_MESSAGES[name]}"
    assert told.hint == CONSTRAINT_WAYS.get(name)
    assert (told.hint is not None) is name.startswith("uq_")  # what is there already has a way out
    assert told.context == {"constraint": name, "table": error.diag.table_name}


def test_a_refusal_without_words_names_its_rule(connection: Connection, ours: Parents) -> None:
    error = _refusal(connection, ours, "ck_mailboxes_security_known")
    assert isinstance(error, psycopg.Error)
    assert "ck_mailboxes_security_known" in from_database(error, doing="trying").detail
