"""Files that can't be imported: one clear error, and nothing is left of the attempt."""

from __future__ import annotations

import codecs
import random

import pytest
from lead_rows import leads, value

from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads.importing import import_file, listed, resume
from outreachdb.leads.importing.detection import inspect
from outreachdb.leads.importing.reading import RowReader

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


async def test_a_quote_never_closed_costs_its_row_only(tenant, tmp_path):
    """However far the next quote is, and across the limit of a cell and the blocks that are read at a time."""
    path = tmp_path / "quote.csv"
    good = "".join(f"lead{n}@example.com,Name {n}\n" for n in range(9000))
    path.write_text(f'email,name\nfirst@example.com,First\nx@example.com,"open\n{good}')
    report = await import_file(tenant, path)
    assert (report.rows_read, report.inserted, report.rejected) == (9002, 9001, 1)
    assert await value(tenant, "SELECT raw FROM outreach.import_rejects") == 'x@example.com,"open'


# Rows after the header, and of each its first cell and what is wrong with it.
QUOTES = {
    "to the end": (
        'a,free\nb,"team\nc,free\nd,paid\n',
        [("a", ""), ('b,"team', "a quote that is never closed"), ("c", ""), ("d", "")],
    ),
    "to the next quote": (
        'a,free\nb,"team\nc,free\nd,"paid"\ne,x\n',
        [("a", ""), ('b,"team', "a quote that is never closed"), ("c", ""), ("d", ""), ("e", "")],
    ),
    "twice": (
        'a,"x\nb,y\nc,"z\nd,y\n',
        [('a,"x', "a quote that is never closed"), ("b", ""), ('c,"z', "a quote that is never closed"), ("d", "")],
    ),
    "in the last row": (
        'a,free\nb,"team', [("a", ""), ('b,"team', "unexpected end of data; a quote that is never closed")]
    ),
    "in a cut text": (
        'a,free\nb,"team\nmore words\nand more',
        [("a", ""), ('b,"team\nmore words\nand more', "unexpected end of data; a quote that is never closed")],
    ),
    "around a whole row": (
        'a,free\n"b,team\nc,free\n', [("a", ""), ('"b,team', "a quote that is never closed"), ("c", "")]
    ),
    "closed": ('a,"two\n\nlines, ""x"""\nb,"sloppy "quotes" here"\n', [("a", ""), ("b", "")]),
    "sloppy in several lines": ('a,"he\nsaid "yes" twice"\nb,x\n', [("a", ""), ("b", "")]),
}  # fmt: skip


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize("before", [0, 498, 1200])
def test_quotes_never_closed(tmp_path, name, before):
    text, expected = QUOTES[name]
    path = tmp_path / "quote.csv"
    path.write_text("email,Plan\n" + "ok,free\n" * before + text)
    with RowReader(inspect(path)) as reader:
        content = b""
        while block := reader.block():
            content += block.text
    found = [row.split("\t") for row in content.decode().removesuffix("\r\n").split("\r\n")]
    assert [int(row[-2]) for row in found] == list(range(1, before + len(expected) + 1))
    assert [(row[0].replace("\\\n", "\n"), row[-1]) for row in found[before:]] == expected
    assert {(row[0], row[-1]) for row in found[:before]} <= {("ok", "")}


async def test_rows_that_are_not_utf_8_are_rejected_alone(tenant, tmp_path):
    path = tmp_path / "list.csv"
    rows = [f"lead{n}@example.com,José\n" for n in range(700)]
    path.write_bytes(b"email,name\n" + "".join(rows).encode() + b"cut@example.com,Zo\xc3\xab \xf0\x9f\x98\n")
    for encoding in (None, "utf8"):
        report = await import_file(tenant, path, encoding=encoding, on_conflict="skip", dry_run=encoding is None)
        assert (report.encoding, report.inserted, report.rejected) == ("utf-8", 700, 1)
    assert await value(tenant, "SELECT raw FROM outreach.import_rejects") == "cut@example.com,Zoë \\xf0\\x9f\\x98"
    assert await value(tenant, "SELECT reason FROM outreach.import_rejects") == "not UTF-8"
    assert await value(tenant, "SELECT DISTINCT first_name FROM outreach.leads") == "José"
    path.write_bytes(b'{"email": "a@example.com", "name": "Jos\xc3\xa9"}\n{"email": "b@example.com", "name": "\xe9"}\n')
    report = await import_file(tenant, path)
    assert (report.format, report.inserted, report.rejected) == ("jsonl", 1, 1)


NAMES = {
    "cp1250": ["Paweł Wąs", "Łukasz Dąbrowski", "Małgorzata Wójcik", "Kraków"],
    "iso8859_2": ["Paweł Wąs", "Łukasz Dąbrowski", "Małgorzata Wójcik"],
    "mac_roman": ["José", "Müller", "Zoë", "Peña", "González"],
    "shift_jis": ["山田 太郎", "鈴木 一郎"],
    "gb18030": ["王小明", "李娜"],
    "cp949": ["김철수", "서울"],
    "cp1251": ["Иванов Иван", "Москва"],
    "cp1253": ["Γιώργος", "Αθήνα"],
    "cp1254": ["Ayşe Yıldırım", "İstanbul", "Doğan Çelik"],
    "cp850": ["José", "Müller", "Zoë"],
    "cp1257": ["Žemaitė", "Jānis Bērziņš", "Šiauliai"],
}
MORE_1250 = [["Dvořák Jiří", "Němec Ondřej", "Růžička", "Plzeň"], ["Szőke Péter", "Győr", "Erdős Pál", "László"],
             ["Kovačić", "Petrović Željko", "Šimić"], ["Ionescu Ştefan", "Mureşan", "Câmpina"]]  # fmt: skip


@pytest.mark.parametrize(("encoding", "names"), [*NAMES.items(), *(("cp1250", names) for names in MORE_1250)])
async def test_other_encodings_are_refused_and_can_be_said(tenant, tmp_path, encoding, names):
    path = tmp_path / "list.csv"
    path.write_bytes(b"email;city\n" + b"".join(
        f"lead{n}@example.com;{name}\n".encode(encoding) for n, name in enumerate(names * 4)
    ))  # fmt: skip
    with pytest.raises(InvalidInput, match=r"encoding of .* can't be told") as caught:
        await import_file(tenant, path)
    assert "--encoding" in str(caught.value.hint)
    report = await import_file(tenant, path, encoding=encoding)
    assert (report.encoding, report.inserted) == (codecs.lookup(encoding).name, len(names) * 4)
    assert {row["city"] for row in await leads(tenant)} == set(names)


@pytest.mark.parametrize(
    "names",
    [
        ["José"],
        ["Müller", "Größe", "Weiß", "Jürgen", "Köln", "Straße 5"],
        ["Hélène Lefèvre", "Noël", "L’Oréal", "Société Générale – siège", "créée", "cœur"],
        ["Núñez", "¿Qué?", "Peña", "n.º 5", "3ª planta", "Mª José"],
        ["João Conceição", "São Paulo", "Simões", "Antônio"],
        ["Niccolò", "Forlì", "Città", "Però"],
        ["Bjørn Åse", "Håkon Sørlie", "Kjær"],
        ["Väinö", "Jyväskylä", "Åbo"],
        ["Þórður Jónsson", "Guðrún", "Björk Guðmundsdóttir"],
        ["Jõgi Pärt", "Õnne", "Tõnu Mägi"],
        ["Paral·lel", "Núria", "Gràcia", "Llorenç"],
        ["12 m²", "Acme®", "“Acme” GmbH", "Bob’s", "100 €", "Nº 5", "Müller–Meier", "à la carte…", "½ day"],
    ],
)
def test_western_text_is_read_as_windows_writes_it(tmp_path, names):
    path = tmp_path / "list.csv"
    for count in (1, 3, 40):
        lines = [f"lead{n}@example.com;{name}\n" for n, name in enumerate(names * count)]
        path.write_bytes("".join(["email;city\n", *lines]).encode("cp1252"))
        dialect = inspect(path)
        assert (dialect.encoding, dialect.sample[0][1]) == ("cp1252", names[0])


async def test_mixed_encodings_and_wrong_ones(tenant, tmp_path):
    path = tmp_path / "list.csv"
    windows = "".join(f"w{n}@example.com,José\n" for n in range(6)).encode("cp1252")
    path.write_bytes(b"email,name\n" + windows + "".join(f"u{n}@example.com,José\n" for n in range(4)).encode())
    with pytest.raises(InvalidInput, match=r"mixes encodings: 40%"):
        await import_file(tenant, path)
    report = await import_file(tenant, path, encoding="utf-8", dry_run=True)
    assert (report.inserted, report.rejected) == (4, 6)
    path.write_bytes(b"email,name\n" + windows)
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        await import_file(tenant, path, encoding="utf-8")
    with pytest.raises(UsageError, match="there is no encoding 'klingon'"):
        await import_file(tenant, path, encoding="klingon")
    path.write_bytes("email,na\xefme\na@example.com,José\nb@example.com,José\n".encode().replace(b"\xc3\xaf", b"\xef"))
    with pytest.raises(InvalidInput, match=r"the header of .* holds bytes that are not UTF-8"):
        await import_file(tenant, path)


async def test_an_import_goes_on_in_the_encoding_it_began_with(tenant, tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes("email;city\na@example.com;Kraków\nb@example.com;Wrocław\n".encode("cp1250"))

    def broken(phase, done, total=None):
        if phase == "finishing":
            raise RuntimeError("stop")

    for encoding in ("cp1250", "mac_roman"):
        with pytest.raises(RuntimeError):
            await import_file(tenant, path, encoding=encoding, delimiter=";", progress=broken)
    second, first = await listed(tenant)  # not the same import: it would not end as it began
    report = await resume(tenant, first["id"])
    assert (report.encoding, report.inserted) == ("cp1250", 2)
    assert {row["city"] for row in await leads(tenant)} == {"Kraków", "Wrocław"}
    path.write_bytes("email;city\nc@example.com;Köln\n".encode("cp1252"))
    with pytest.raises(InvalidInput, match="is not the file that import"):
        await resume(tenant, second["id"])


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
