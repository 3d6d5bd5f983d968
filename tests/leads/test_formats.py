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

from outreachdb.cli.import_summary import summary
from outreachdb.errors import InvalidInput, UsageError
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


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def workbook(sheets: dict[str, str], shared=(), styles="") -> bytes:
    """The smallest workbook that readers accept: the XML of each sheet's rows, shared strings and styles."""
    parts = {f"worksheets/sheet{n}.xml": ("worksheet", f"<sheetData>{rows}</sheetData>")
             for n, rows in enumerate(sheets.values(), start=1)}  # fmt: skip
    if shared:
        parts["sharedStrings.xml"] = ("sharedStrings", "".join(f"<si>{each}</si>" for each in shared))
    if styles:
        parts["styles.xml"] = ("styles", styles)
    roots = {"worksheet": "worksheet", "sharedStrings": "sst", "styles": "styleSheet"}
    kinds = "".join(f'<Override PartName="/xl/{part}" ContentType="{KIND}.{kind}+xml"/>'
                    for part, (kind, _) in parts.items())  # fmt: skip
    links = "".join(f'<Relationship Id="r{n}" Type="{OFFICE}/{kind}" Target="{part}"/>'
                    for n, (part, (kind, _)) in enumerate(parts.items(), start=1))  # fmt: skip
    named = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, start=1))
    files = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{KIND}.sheet.main+xml"/>{kinds}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{named}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>',
    } | {f"xl/{part}": f'<{roots[kind]} xmlns="{MAIN}">{content}</{roots[kind]}>'
         for part, (kind, content) in parts.items()}  # fmt: skip
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def inline(rows) -> str:
    """Rows of a sheet with strings and numbers in their cells."""

    def cell(value):
        if isinstance(value, int | float):
            return f"<c><v>{value}</v></c>"
        if isinstance(value, dt.date):
            return f'<c t="d"><v>{value.isoformat()}</v></c>'
        text = str(value).replace("&", "&amp;").replace("<", "&lt;")
        return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'

    return "".join(f"<row>{''.join(cell(value) for value in row)}</row>" for row in rows)


def xlsx(rows) -> bytes:
    return workbook({"People": inline(rows)})


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
        (b'[\n  {"email": "a@example.com"}\n]', "one JSON array"),
        (b"{not json\n{either\n", "no line is a JSON object"),
        (b"<!doctype html><html></html>", "is a web page"),
        (gzip.compress(b"PK\x03\x04" + bytes(100)), "holds a packed file"),
        (xlsx([]), "holds no rows"),
        (xlsx([["a@example.com", "Ann"]]), "has no header"),
        (parquet([{"email": "a@example.com"}])[:-200], "no readable Parquet file"),
    ],
    ids=range(10),
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


def test_a_workbook_as_excel_writes_it(tmp_path):
    """Shared strings (one with formats inside), dates by style, a formula, an error, and nothing in A1 to B3."""
    path = tmp_path / "sheet.xlsx"
    shared = [f"<t>{text}</t>" for text in ("Email", "First Name", "Since", "Score", "VIP", "ann@example.com")]
    shared += ["<r><t>An</t></r><r><rPr><b/></rPr><t>n</t></r>"]
    styles = (
        '<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm"/></numFmts>'
        '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs>'
    )
    named = "".join(f'<c r="{column}4" t="s"><v>{n}</v></c>' for n, column in enumerate("CDEFG"))
    rows = (
        f'<row r="4">{named}</row><row r="5"><c r="C5" t="s"><v>5</v></c><c r="D5" t="s"><v>6</v></c>'
        '<c r="E5" s="1"><v>45413</v></c><c r="F5" t="e"><v>#DIV/0!</v></c><c r="G5" t="b"><v>1</v></c></row>'
        '<row r="7"><c r="C7" t="str"><f>"bo"&amp;"@example.com"</f><v>bo@example.com</v></c>'
        '<c r="E7" s="2"><v>45413.4375</v></c><c r="F7"><v>12.5</v></c></row>'
    )
    path.write_bytes(workbook({"People": rows}, shared, styles))
    dialect = inspect(path)
    assert (dialect.header_line, dialect.header) == (4, ("Email", "First Name", "Since", "Score", "VIP"))
    assert blocks(path) == [
        ["ann@example.com", "Ann", "2024-05-01", "", "true", "1", ""],
        ["bo@example.com", "", "2024-05-01T10:30:00", "12.5", "", "2", ""],
    ]


async def test_sheets_that_are_not_read_are_named(tenant, tmp_path):
    path = tmp_path / "sheets.xlsx"
    people = inline([["email"], ["a@example.com"]])
    path.write_bytes(workbook({"May": people, "Empty": "", "June": people, "July": people}))
    for dry_run in (True, False):
        report = await import_file(tenant, path, dry_run=dry_run)
        assert report.document()["sheets_left_out"] == ["June", "July"]
        assert "not read: 2 more sheets with rows: June, July" in summary(report)
    path.write_bytes(workbook({"May": people, "Empty": ""}))
    assert "sheets_left_out" not in (await import_file(tenant, path)).document()


# The other delimiters stand in the cells, more often than the right one.
DELIMITED = {
    ",": [("Email,Name,Tags", "l@example.com,Ann Lee,a;b;c;d"), ("Email,Amount", "l@example.com,10;50"),
          ("Name,Email,Location", "Ann,l@example.com,Austin; Texas; United States"), ("Customer,Share", "Lee,1;5")],
    ";": [("E-Mail;Umsatz", "l@example.com;10,50"), ("E-Mail;Name;Ort", "l@example.com;Lee, Ann;Bern"),
          ("E-Mail;Name;Anschrift", "l@example.com;Ann Lee;Weg 1, 10115 Berlin, Deutschland"),
          ("Email;Name;Tags", "l@example.com;Ann Lee;a,b,c,d"), ("Kunde;Umsatz", "Meier;10,50"),
          ("Contacts, of May\nEmail;Name;Ort", "l@example.com;Lee, Ann;Bern")],
    "\t": [("Name\tEmail\tLocation", "Ann\tl@example.com\tAustin, Texas, United States"),
           ("Email\tName\tAddress", "l@example.com\tAnn\tStreet 1, Town, State, US"),
           ("Email\tName\tTags", "l@example.com\tAnn\ta;b;c;d"), ("Client\tPlace", "Lee\tAustin, Texas, US")],
    "|": [("Email|Name|Tags", "l@example.com|Ann|a;b,c;d,e"), ("Email|Amount", "l@example.com|10,50")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("delimiter", "header", "row"), [(d, *each) for d, found in DELIMITED.items() for each in found]
)
def test_the_delimiter_is_that_of_the_header(tmp_path, delimiter, header, row):
    path = tmp_path / "list.csv"
    path.write_text(f"{header}\n" + f"{row}\n" * 40)
    dialect = inspect(path)
    assert dialect.delimiter == delimiter
    assert dialect.header == tuple(header.splitlines()[-1].split(delimiter))
    assert blocks(path) == [[*row.split(delimiter), str(n), ""] for n in range(1, 41)]


async def test_the_delimiter_can_be_said(tenant, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("email;note,city\na@example.com;x,Bern\n")
    report = await import_file(tenant, path, delimiter="semicolon", dry_run=True)
    assert (report.delimiter, report.mapping) == (";", {"email": "email", "note,city": "custom.note,city"})
    with pytest.raises(UsageError, match="is no delimiter"):
        await import_file(tenant, path, delimiter="^")
    path.write_bytes(FILES["xlsx"])
    with pytest.raises(UsageError, match="no file of text"):
        await import_file(tenant, path, delimiter=";")


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
