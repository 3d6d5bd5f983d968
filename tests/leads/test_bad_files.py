"""Files that can't be imported: one clear error, and nothing is left of the attempt."""

from __future__ import annotations

import codecs
import random

import pytest
from lead_rows import leads, value

from outreachdb.errors import InvalidInput
from outreachdb.leads.importing import import_file, listed

BAD = {
    "empty": (b"", "is empty"),
    "only white space": (b" \n\n \n", "holds no text"),
    "header only": (b"email,name\n", "has a header but no rows"),
    "header and blanks": (b"email,name\n\n\n", "has a header but no rows"),
    "no header, addresses": (b"a@example.com,Ann\nb@example.com,Bo\n", "has no header: its first row holds data"),
    "no header, numbers": (b"1,2,3\n4,5,6\n", "has no header"),
    "no known column": (b"Ann,Lee,Rome\nBo,Ek,Oslo\n", "no column of .* is known: Ann, Lee, Rome"),
    "excel": (b"PK\x03\x04" + bytes(100), "is a ZIP or Excel file, not CSV"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "is a gzip file"),
    "random bytes": (random.Random(1).randbytes(5000), "is binary"),
    "zeros": (bytes(5000), "is binary"),
    "utf-16 cut off": (codecs.BOM_UTF16_LE + "email\na@b.co".encode("utf-16-le") + b"x", "starts as UTF-16 but is not"),
    "too many columns": (b"email," + b",".join(b"c%d" % n for n in range(500)) + b"\na@b.co\n", "501 columns"),
}


@pytest.mark.parametrize("name", BAD)
async def test_refused_and_nothing_left(tenant, tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    for dry_run in (True, False):
        with pytest.raises(InvalidInput, match=message):
            await import_file(tenant, path, dry_run=dry_run)
    assert await listed(tenant) == []
    assert await leads(tenant) == []


async def test_missing_file_and_directory(tenant, tmp_path):
    with pytest.raises(InvalidInput, match="no such file"):
        await import_file(tenant, tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="is a directory"):
        await import_file(tenant, tmp_path)
    assert await listed(tenant) == []


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-32", "utf-32"), ("cp1252", "cp1252")],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
async def test_encodings_delimiters_line_ends(tenant, tmp_path, encoding, found, delimiter, ending):
    rows = [
        ("email", "name", "notes"),
        ("a@example.com", "José Müller", '"x\ny, z; ""q"""'),
        ("b@example.com", "Zoë", ""),
    ]
    path = tmp_path / "file.csv"
    path.write_bytes(ending.join(delimiter.join(row) for row in rows).encode(encoding))
    report = await import_file(tenant, path)
    assert (report.encoding, report.delimiter, report.inserted) == (found, delimiter, 2)
    first, second = await leads(tenant)
    assert (first["last_name"], first["notes"], second["first_name"]) == ("Müller", 'x\ny, z; "q"', "Zoë")


async def test_a_quote_never_closed_costs_its_row_only_until_the_limit(tenant, tmp_path):
    path = tmp_path / "quote.csv"
    good = "".join(f"lead{n}@example.com,Name {n}\n" for n in range(9000))
    path.write_text(f'email,name\nfirst@example.com,First\nx@example.com,"open\n{good}')
    report = await import_file(tenant, path)
    assert report.rejected == 1
    assert report.rows_read == report.inserted + 1
    assert report.inserted > 1000
    raw = await value(tenant, "SELECT raw FROM outreach.import_rejects")
    assert raw.startswith('x@example.com,"open\nlead0@example.com')
    assert raw.count("\n") + report.inserted == 9001  # every line is in a lead or in the reject


async def test_a_failure_in_the_middle_is_on_record_and_leaves_nothing(tenant, tmp_path, monkeypatch):
    path = tmp_path / "file.csv"
    path.write_text("email\n" + "".join(f"a{n}@example.com\n" for n in range(3000)))

    def broken(phase, done, total=None):
        if phase == "finishing":
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        await import_file(tenant, path, progress=broken)
    (row,) = await listed(tenant)
    assert (row["status"], row["error"]) == ("failed", "RuntimeError: stop")
    assert await leads(tenant) == []
    assert await value(tenant, "SELECT count(*) FROM pg_class WHERE relname LIKE 'import~_%~_raw' ESCAPE '~'") == 0
