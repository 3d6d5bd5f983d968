"""Which encoding a file is in, and whether that is more than a guess."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from outreachdb.db.texts import is_whole
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.leads.importing.sources import ByteFile

BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
UTF8 = ("utf-8", "utf-8-sig")
WINDOWS = "cp1252"
CHUNK_BYTES = 1 << 20
TELLING = 5000  # lines that are not ASCII: more of them tell nothing new
# Of the lines that are not ASCII. Text in another encoding is valid UTF-8 by accident in hardly any line: a file in
# which half of them are is UTF-8 with damaged lines; where fewer are, two encodings are mixed.
MOST, FEW = 0.5, 0.1
# Likely ones besides Windows-1252, for the hint.
CANDIDATES = ("cp1250", "iso8859_2", "mac_roman", "cp1254", "cp850", "cp1257")
# What Western text holds nowhere: signs inside of a word or right after a letter, a capital after a small letter, three
# accented letters in a row. The wrong encoding makes all of these: "Pawe³", "JosŽ", "Gonz‡lez", "Èâàíîâ".
_ODD = re.compile(
    "[^\\W\\d_][¡¢£¤¥¦§¨©ª«¬®¯°±²³´µ¶¸¹º»¼½¾¿€„…†‡ˆ‰‹“”•˜™›×÷][^\\W\\d_]|[^\\W\\d_][¡¢£¤¥¦§¬±¶¸¹¼½¾¿‚„†‡‰‹“≥≤]"
    "|[^\\W\\d_mM][²³]|[a-zß-ÿšœž][À-ÖØ-ÞŠŒŽŸ]|[À-ÖØ-öø-ÿŠŒŽŸšœžƒ]{3}|[\x80-\x9f]|[\u0370-\u04ff][a-z]|[a-z][\u0370-\u04ff]"
)
_LETTER = re.compile("[À-ÖØ-öø-ÿŠŒŽŸšœžĀ-ſ]")


def checked(name: str) -> str:
    """The encoding's name as Python has it; raises UsageError for one that is none."""
    try:
        "email,\t".encode(name)
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        raise UsageError(
            f"there is no encoding {name!r}", hint="for example utf-8, cp1250, cp1252, shift_jis, mac_roman"
        ) from None


def by_mark(head: bytes) -> str | None:
    """The encoding that a byte order mark names."""
    return next((name for bom, name in BOMS if head.startswith(bom)), None)


def found(path: Path, packed: str | None, head: bytes, said: str | None) -> tuple[str, bytes]:
    """The encoding of the content, and the hash of the file; in one pass unless compressed or broken.

    Lines that it can't decode are left to the reader, which rejects their rows. Raises InvalidInput where the encoding
    can't be told, or is not the one that was said.
    """
    marked = by_mark(head)
    if said is not None and marked and said.startswith("utf"):
        said = marked
    wanted = said or marked or "utf-8"
    digest, whole = _read(path, packed, wanted)
    if whole:
        return wanted, digest
    if wanted.startswith(("utf-16", "utf-32")):
        raise InvalidInput(f"{path} starts as {wanted.upper()} but is not", hint="export it as CSV in UTF-8")
    good = _share(path, packed, wanted)
    if said is not None:
        if good == 0:
            raise InvalidInput(f"{path} is not {shown(said)}", hint="leave --encoding out to have it detected")
        return said, digest
    if good >= MOST:
        return wanted, digest
    if marked:
        raise InvalidInput(f"{path} starts as UTF-8 but is not", hint="export it as CSV in UTF-8")
    if good > FEW:
        raise InvalidInput(
            f"{path} mixes encodings: {good:.0%} of its lines with special letters are UTF-8",
            hint="--encoding utf-8 rejects the others; --encoding cp1252 reads all of them as Windows does",
        )
    _check_windows(path, packed)
    return WINDOWS, digest


def shown(name: str) -> str:
    """The encoding's name for people."""
    return "UTF-8" if name in UTF8 else name.upper() if name.startswith("utf") else name


def _read(path: Path, packed: str | None, name: str) -> tuple[bytes, bool]:
    """The hash of the file, and whether all of its content can be decoded."""
    decoder = codecs.getincrementaldecoder(name)()
    digest, whole = hashlib.sha256(), True
    for chunk in _chunks(path, packed):
        if not packed:
            digest.update(chunk)
        whole = whole and _decodes(decoder, chunk)
    if packed:
        for chunk in _chunks(path, None):
            digest.update(chunk)
    return digest.digest(), whole and _decodes(decoder, b"", final=True)


def _chunks(path: Path, packed: str | None) -> Iterator[bytes]:
    with ByteFile(path, packed) as file:
        while chunk := file.stream.read(CHUNK_BYTES):
            yield chunk


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def _special_lines(path: Path, packed: str | None, name: str) -> Iterator[str]:
    """The lines that are not ASCII."""
    with ByteFile(path, packed) as file, file.text(name) as text:
        while line := text.readline(CHUNK_BYTES):
            if not line.isascii():
                yield line


def _share(path: Path, packed: str | None, name: str) -> float:
    """How many of the lines that are not ASCII can be decoded, from 0 to 1."""
    lines = good = 0
    for line in _special_lines(path, packed, name):
        lines += 1
        good += is_whole(line)
    return good / lines if lines else 1.0


def _check_windows(path: Path, packed: str | None) -> None:
    """Raise InvalidInput where the text is plainly not Windows-1252."""
    good = _share(path, packed, WINDOWS)
    lines = [line[:1000] for line in islice(_special_lines(path, packed, WINDOWS), TELLING) if is_whole(line)]
    if good < 1 - FEW or not lines or _odd(lines) > FEW or _elsewhere("".join(lines)) or not _is_text(lines):
        example = next((line for line in lines if _ODD.search(line)), lines[0] if lines else "").strip()[:80]
        raise InvalidInput(
            f"the encoding of {path} can't be told" + (f": as {WINDOWS} it would read {example!r}" if example else ""),
            hint=f"say --encoding NAME{_perhaps(path, packed)}, or export it as CSV in UTF-8",
        )


def _odd(lines: list[str]) -> float:
    """How many lines hold what no Western text does, from 0 to 1."""
    return sum(_ODD.search(line) is not None for line in lines) / len(lines)


def _elsewhere(text: str) -> str | None:
    """The encoding whose accented letters these are if Turkish, Baltic, Czech or Hungarian text is read as Western."""
    letters = _LETTER.findall(text.lower())

    def share(of: str) -> float:
        return sum(letter in of for letter in letters) / len(letters) if letters else 0.0

    # Icelandic has these letters too, among many others that Turkish and Lithuanian do not have.
    if share("þðý") >= 0.2 and share("áéíóúæ") < share("þðý") / 2:
        return "cp1254"
    # Czech and Croatian: no Western language has both of these.
    if share("šžý") >= FEW and share("øìèæ") >= FEW:
        return "cp1250"
    # Hungarian: Estonian has õ but no á or é, Portuguese has ã, ç and ê beside it.
    if share("õû") >= 0.05 and share("áéó") >= 0.2 and not share("ãçêô"):
        return "cp1250"
    return None


def _is_text(lines: list[str]) -> bool:
    from charset_normalizer import from_bytes  # noqa: PLC0415  (few files come here)

    content = "".join(lines).encode(WINDOWS)[: 1 << 16]
    return from_bytes(content, cp_isolation=[WINDOWS], threshold=0.6).best() is not None


def _perhaps(path: Path, packed: str | None) -> str:
    """The likeliest encoding, in words for the hint."""
    from charset_normalizer import from_bytes  # noqa: PLC0415  (few files come here)

    lines = list(islice(_special_lines(path, packed, "latin_1"), 200))
    content = "".join(lines).encode("latin_1")[: 1 << 16]
    best = from_bytes(content).best()
    if best is not None and not _LETTER.search(str(best)):
        return f" ({best.encoding} perhaps)"  # another script
    likely = min((_oddly(content, name), place, name) for place, name in enumerate(CANDIDATES))[2]
    return f" ({_elsewhere(content.decode(WINDOWS, 'replace')) or likely} perhaps)"


def _oddly(content: bytes, name: str) -> float:
    return _odd(content.decode(name, "replace").splitlines() or [""])
