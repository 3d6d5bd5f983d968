"""Formats beside plain CSV: each gives the same leads, and what is broken is said."""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import io
import json
import os
import sys
import threading
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from lead_rows import leads, value

from outreachdb.errors import InvalidInput
from outreachdb.leads.importing import import_file
from outreachdb.leads.importing.detection import inspect
from outreachdb.leads.importing.reading import RowReader
from outreachdb.leads.importing.records import as_text

ROWS = [{"email": f"lead{n}@example.com", "first_name": f"Zoë {n}", "notes": 'a,"b"\nc'} for n in range(2500)]
TEXT = "email,first_name,notes\n" + "".join(f'{r["email"]},{r["first_name"]},"a,""b""\nc"\n' for r in ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


CHECKED = zstandard.ZstdCompressor(write_checksum=True)  # as the zstd command writes them


def parquet(rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def xlsx(rows) -> bytes:
    """The smallest workbook that readers accept, with inline strings and numbers."""

    def cell(value):
        if isinstance(value, int | float):
            return f"<c><v>{value}</v></c>"
        if isinstance(value, dt.date):
            return f'<c t="d"><v>{value.isoformat()}</v></c>'
        text = str(value).replace("&", "&amp;").replace("<", "&lt;")
        return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    body = "".join(f"<row>{''.join(cell(value) for value in row)}</row>" for row in rows)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{types}"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="People" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>',
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


SHEET = [["email", "first_name", "notes"], *(list(row.values()) for row in ROWS)]
FILES = {
    "csv": TEXT.encode(),
    "csv.gz": gzip.compress(TEXT.encode()),
    "csv.zst": CHECKED.compress(TEXT.encode()),
    "jsonl": LINES.encode(),
    "jsonl.gz": gzip.compress(LINES.encode()),
    "jsonl.zst": CHECKED.compress(LINES.encode()),
    "xlsx": xlsx(SHEET),
    "parquet": parquet(ROWS),
}


@pytest.mark.parametrize("name", FILES)
async def test_every_format_gives_the_same_leads_whatever_its_name(tenant, tmp_path, name):
    path = tmp_path / "list.pdf"
    path.write_bytes(FILES[name])
    report = await import_file(tenant, path)
    assert (report.format, report.rows_read, report.inserted, report.rejected) == (name, 2500, 2500, 0)
    found = await leads(tenant)
    assert {(row["email"], row["first_name"], row["notes"]) for row in found} == {tuple(row.values()) for row in ROWS}
    assert await value(tenant, "SELECT format FROM outreach.imports") == name


def blocks(path: Path) -> list[list[str]]:
    """Every row as COPY will see it."""
    with RowReader(inspect(path)) as reader:
        text = b""
        while block := reader.block():
            text += block.text
    rows = text.decode().replace("\\\n", "\0").removesuffix("\r\n").split("\r\n")
    return [row.replace("\0", "\n").split("\t") for row in rows]


def test_several_frames_and_members_are_one_file(tmp_path):
    first, second = TEXT.encode()[:5000], TEXT.encode()[5000:]
    plain = tmp_path / "plain"
    plain.write_bytes(TEXT.encode())
    for pack in (gzip.compress, zstandard.compress):
        path = tmp_path / "packed"
        path.write_bytes(pack(first) + pack(second))
        assert blocks(path) == blocks(plain)


@pytest.mark.parametrize("name", ["csv.gz", "csv.zst", "jsonl.gz", "jsonl.zst"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
async def test_damaged_archives_are_refused(tenant, tmp_path, name, damage):
    content = bytearray(FILES[name])
    if damage == "cut":
        del content[-len(content) // 3 :]
    else:
        content[len(content) // 2] ^= 0xFF
        content[len(content) // 2 + 1] ^= 0xFF
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"can't be decompressed|starts as|is binary|encoding of"):
        await import_file(tenant, path)
    assert await leads(tenant) == []


def test_a_bomb_stays_small_in_memory(tmp_path):
    import resource

    path = tmp_path / "bomb.csv.zst"
    line = b"email\n" + b"a@example.com\n" * 8_000_000
    path.write_bytes(zstandard.compress(line))
    del line
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert path.stat().st_size < 1 << 16
    dialect = inspect(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert dialect.header == ("email",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1" + bytes(100), "no readable Parquet file"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "no workbook"),
        (b'[{"email": "a@example.com"}]', "one JSON array"),
        (b"{not json\n{either\n", "no line is a JSON object"),
        (b"<!doctype html><html></html>", "is a web page"),
        (gzip.compress(b"PK\x03\x04" + bytes(100)), "holds a packed file"),
        (xlsx([]), "holds no rows"),
        (xlsx([["a@example.com", "Ann"]]), "has no header"),
        (parquet([{"email": "a@example.com"}])[:-200], "no readable Parquet file"),
    ],
    ids=range(9),
)
async def test_what_can_not_be_read_is_said(tenant, tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        await import_file(tenant, path)


async def test_lines_that_are_not_json_objects_are_rejected_with_their_text(tenant, tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text(
        '{"email": "a@example.com", "score": 7}\n\n{"email": \n[1, 2]\n'
        '{"email": "b@example.com", "tags": ["x", "y"], "extra": {"deep": [1]}}\n'
        '{"email": "c\\u0000@example.com"}\n{"email": "d@example.com", "notes": "\\ud800"}\n'
    )
    report = await import_file(tenant, path)
    assert (report.rows_read, report.inserted, report.rejected) == (6, 2, 4)
    first, second = await leads(tenant)
    assert first["qualification_score"] is not None
    assert (second["tags"], second["custom_fields"]) == (["x", "y"], {"extra": '{"deep": [1]}'})
    assert await value(tenant, "SELECT raw FROM outreach.import_rejects WHERE row_number = 3") == "[1, 2]"
    reasons = await value(tenant, "SELECT string_agg(reason, '; ' ORDER BY row_number) FROM outreach.import_rejects")
    assert "not a JSON object; holds a NUL character; holds half of a surrogate pair" in reasons


def test_typed_values_as_text():
    moment = dt.datetime(2024, 5, 1, 10, 30, tzinfo=dt.UTC)
    values = [None, True, 7, 7.0, 7.5, 1e300, dt.date(2024, 5, 1), moment, b"x", ["a", 1], ["a,b"], {"k": dt.date.min}]
    assert [as_text(each) for each in values] == [
        "", "true", "7", "7", "7.5", "1e+300", "2024-05-01", "2024-05-01T10:30:00+00:00", "x", "a, 1", '"a,b"',
        '{"k": "0001-01-01"}',
    ]  # fmt: skip


def test_a_sheet_with_a_preamble_blank_rows_and_numbers(tmp_path):
    path = tmp_path / "sheet.xlsx"
    rows = [["Contacts of May"], [], ["Email", "Phone", "Score"], ["a@example.com", 491512345678, 1.5], [], ["b@c.de"]]
    path.write_bytes(xlsx(rows))
    dialect = inspect(path)
    assert (dialect.format, dialect.header) == ("xlsx", ("Email", "Phone", "Score"))
    assert blocks(path) == [["a@example.com", "491512345678", "1.5", "1", ""], ["b@c.de", "", "", "2", ""]]


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    for package, name in (("pyarrow", "parquet"), ("python_calamine", "xlsx")):
        path = tmp_path / name
        path.write_bytes(FILES[name])
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(InvalidInput, match="reading it needs") as caught:
                inspect(path)
            assert "outreachdb[formats]" in str(caught.value.hint)


async def test_standard_input_and_pipes(tenant, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FILES["csv.gz"])))
    report = await import_file(tenant, "-")
    assert (report.format, report.inserted) == ("csv.gz", 2500)
    assert await value(tenant, "SELECT file_name FROM outreach.imports") == "stdin"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(FILES["jsonl"],))
    writer.start()
    again = await import_file(tenant, fifo, on_conflict="skip")
    writer.join()
    assert (again.format, again.skipped) == ("jsonl", 2500)
    assert list(tmp_path.iterdir()) == [fifo]  # nothing temporary stays


@pytest.mark.parametrize(
    ("text", "line", "header"),
    [
        ('Notes:\n"Some addresses\nmay be missing, sorry"\n\nFirst Name,Last Name,Email\n', 5, 3),
        ("sep=;\nEmail;Name\n", 2, 2),
        ("Report of May,,\nprinted 2024,,\nEmail,Name,City\n", 3, 3),
        ("# exported by hand\nemail,colour,size\n", 2, 3),
        ("Acme Ltd\nContacts;2024\nE-Mail;Vorname;Nachname\n", 3, 3),
        ("Email,Foo\n", 1, 2),
        ("Email,,\n", 1, 3),
        ("Notes:,,,\n,,,\nFirst Name,Email,Company,Position\n", 3, 4),
        ("Foo,Email\n", 1, 2),
        ("\n\n\nemail\n", 4, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_preambles(tmp_path, text, line, header, ending, encoding):
    path = tmp_path / "list.csv"
    separator = ";" if ";" in text else ","
    row = separator.join(["x"] * header)
    path.write_bytes((text + f"{row}\n" * 9).replace("\n", ending).encode(encoding))
    dialect = inspect(path)
    assert (dialect.header_line, len(dialect.header)) == (line, header)
    assert blocks(path) == [["x"] * header + [str(n), ""] for n in range(1, 10)]


def test_cr_only_files_are_read_in_pieces(tmp_path):
    path = tmp_path / "mac.csv"
    path.write_bytes(codecs.BOM_UTF8 + b"email,name\r" + b"a@example.com,J\xc3\xb6rg\r" * 20_000)
    assert len(blocks(path)) == 20_000
    path.write_bytes(b"email,name\r" + b"a@example.com,J\xf6rg\r" * 200_000)
    assert inspect(path).encoding == "cp1252"
