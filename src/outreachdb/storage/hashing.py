"""PostgreSQL's 64-bit hashes (``hashtextextended``, ``timestamp_hash_extended``), computed over Arrow columns.

The hash is Bob Jenkins' lookup3 (https://burtleburtle.net/bob/hash/doobs.html) with a seed. PostgreSQL keeps its values
the same from version to version, because hash partitions lie by them. All values of a column go through it at once:
numpy works on the k-th block of every text, then on the next block of those that are longer.
"""

from __future__ import annotations

import json
from hashlib import md5
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from outreachdb.storage.columns import EXACT, LONG, Column

Words = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

BASIS = 0x9E3779B9 + 3923095
BLOCK = 12
# Rows at a time: what they need stays in the processor's cache.
ROWS = 16_384
POSTGRES_EPOCH = 946_684_800_000_000
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def column_hashes(
    column: Column, number: int, table: pa.Table | pa.RecordBatch
) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """The hashes of a column's values as the database computes them, and which of them count (the others are NULL)."""
    values = table.column(column.name)
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if isinstance(array, pa.DictionaryArray):
        words = array.dictionary
        hashes = _plain(column, number, words)
        valid = np.asarray(array.is_valid())
        picked = np.zeros(len(array), np.uint64)
        picked[valid] = hashes[np.asarray(array.indices.drop_null())]
        return picked, valid
    hashes, valid = _plain(column, number, array), np.asarray(array.is_valid())
    if column.ranged:
        _exceptions(column, number, table, hashes, valid)
    return hashes, valid


def combined(parts: list[tuple[Hashes, npt.NDArray[np.bool_]]], rows: int) -> Hashes:
    """One hash of each whole row, made of its columns'; a NULL is told from every value by its column's number."""
    mixed = np.zeros(rows, np.uint64)
    for number, (hashes, valid) in enumerate(parts, start=1):
        mixed ^= np.where(valid, hashes, np.uint64(number))
    return hash_seeded(b"", mixed)


def total(hashes: Hashes) -> int:
    """The sum of hashes as signed numbers, exactly."""
    signed = hashes.view(np.int64)
    return (int((signed >> 32).sum()) << 32) + int((signed & 0xFFFFFFFF).sum())


def hash_seeded(text: bytes, seeds: Hashes) -> Hashes:
    """``hashtextextended(text, seed)`` for many seeds: a number that is the seed is hashed with all of its 64 bits."""
    found = np.empty(len(seeds), np.uint64)
    tail = text.ljust(BLOCK, b"\0")
    words = np.frombuffer(tail, "<u4")
    for start in range(0, len(seeds), ROWS):
        part = seeds[start : start + ROWS]
        a = np.full(len(part), (BASIS + len(text)) & 0xFFFFFFFF, np.uint32)
        b, c = a.copy(), a.copy()
        plain = part == 0
        a += (part >> np.uint64(32)).astype(np.uint32)
        b += part.astype(np.uint32)
        _mix(a, b, c)
        if plain.any():
            a[plain] = b[plain] = c[plain] = (BASIS + len(text)) & 0xFFFFFFFF
        a += words[0]
        b += words[1]
        c += words[2] << np.uint32(8) if len(text) > 8 else np.uint32(0)
        found[start : start + ROWS] = _final(a, b, c)
    return found


def hash_texts(offsets: npt.NDArray[np.int64], data: Bytes, seed: int) -> Hashes:
    """``hashtextextended(text, seed)`` of texts that lie one behind the other; ``data`` has 12 bytes to spare."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    found = np.empty(len(starts), np.uint64)
    # A four-byte word from every byte on.
    words: Any = np.ndarray(shape=(max(len(data) - 3, 0),), dtype="<u4", buffer=data, strides=(1,))
    for first in range(0, len(starts), ROWS):
        some = slice(first, first + ROWS)
        found[some] = _hash_some(starts[some], lengths[some], words, seed)
    return found


def _hash_some(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], words: Any, seed: int) -> Hashes:
    # Longest first: the texts that have a k-th block are those at the front.
    order = np.argsort(-lengths, kind="stable")
    at, length = starts[order], lengths[order]
    a = (length + BASIS).astype(np.uint32)
    b, c = a.copy(), a.copy()
    if seed:
        a += np.uint32((seed >> 32) & 0xFFFFFFFF)
        b += np.uint32(seed & 0xFFFFFFFF)
        _mix(a, b, c)
    blocks = length // BLOCK
    for block in range(int(blocks[0]) if len(blocks) else 0):
        n = int(np.searchsorted(-blocks, -block, side="left"))  # how many have more than `block` blocks
        place = at[:n] + block * BLOCK
        x, y, z = a[:n], b[:n], c[:n]
        x += words[place]
        y += words[place + 4]
        z += words[place + 8]
        _mix(x, y, z)
    rest, place = length - blocks * BLOCK, at + blocks * BLOCK
    a += _head(words[place], rest)
    b += _head(words[place + 4], rest - 4)
    # The lowest byte of c is kept for the length.
    c += _head(words[place + 8], rest - 8) << np.uint32(8)
    hashes = np.empty(len(starts), np.uint64)
    hashes[order] = _final(a, b, c)
    return hashes


def _head(words: Words, count: npt.NDArray[np.int64]) -> Words:
    """The first ``count`` bytes of each word (none where negative, all from four on)."""
    masks = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], np.uint32)
    return words & masks[np.clip(count, 0, 4)]


def hash_integers_folded(values: npt.NDArray[np.int64], seed: int) -> Hashes:
    """``timestamp_hash_extended``: PostgreSQL folds the 64 bits into 32 before it hashes them."""
    unsigned = values.view(np.uint64)
    low, high = unsigned.astype(np.uint32), (unsigned >> np.uint64(32)).astype(np.uint32)
    folded = low ^ np.where(values >= 0, high, ~high)
    a = np.full(len(values), (BASIS + 4) & 0xFFFFFFFF, np.uint32)
    b, c = a.copy(), a.copy()
    if seed:
        a += np.uint32((seed >> 32) & 0xFFFFFFFF)
        b += np.uint32(seed & 0xFFFFFFFF)
        _mix(a, b, c)
    a += folded
    return _final(a, b, c)


def _plain(column: Column, number: int, array: pa.Array) -> Hashes:
    if column.form == "integer":
        zero = pa.scalar(False if column.kind == "bool" else 0, array.type)
        numbers = np.asarray(pc.cast(pc.fill_null(array, zero), pa.int64()))
        return hash_seeded(str(number).encode(), numbers.view(np.uint64))
    if column.form == "instant":
        micros = np.asarray(pc.fill_null(array.cast(pa.int64()), 0))
        return hash_integers_folded(micros - POSTGRES_EPOCH, number)
    if column.form == "float":
        return _floats(array, number)
    if column.form == "date":
        array = array.cast(pa.string())
    return _texts(array, number, as_hex=column.form == "bytes")


def _floats(array: pa.Array, number: int) -> Hashes:
    wide = pa.types.is_float64(array.type)
    zero = pa.scalar(0.0, array.type)
    values = np.ascontiguousarray(np.asarray(pc.fill_null(array, zero)).astype(">f8" if wide else ">f4"))
    size = 8 if wide else 4
    hashes = hash_texts(np.arange(len(values) + 1, dtype=np.int64) * size * 2, _hex(values.view(np.uint8)), number)
    nan = np.isnan(values.astype(np.float64))
    if nan.any():
        hashes[nan] = _one(b"NaN", number)
    return hashes


def _texts(array: pa.Array, number: int, *, as_hex: bool) -> Hashes:
    offsets, data = _flat(array)
    if as_hex:
        offsets, data = offsets * 2, _hex(data)
    else:
        data = np.concatenate([data, np.zeros(BLOCK, np.uint8)])
    lengths = np.diff(offsets)
    long = np.flatnonzero(lengths > LONG)
    if not len(long):
        return hash_texts(offsets, data, number)
    hashes = np.empty(len(lengths), np.uint64)
    short = np.flatnonzero(lengths <= LONG)
    hashes[short] = _picked(offsets, data, short, number)
    for index in long:
        text = data[offsets[index] : offsets[index + 1]]
        hashes[index] = _one(md5(text.tobytes(), usedforsecurity=False).hexdigest().encode(), number)
    return hashes


def _picked(offsets: npt.NDArray[np.int64], data: Bytes, rows: npt.NDArray[np.int64], seed: int) -> Hashes:
    starts, lengths = offsets[:-1][rows], np.diff(offsets)[rows]
    words: Any = np.ndarray(shape=(len(data) - 3,), dtype="<u4", buffer=data, strides=(1,))
    found = np.empty(len(rows), np.uint64)
    for first in range(0, len(rows), ROWS):
        some = slice(first, first + ROWS)
        found[some] = _hash_some(starts[some], lengths[some], words, seed)
    return found


def _flat(array: pa.Array) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Offsets and bytes of a text or binary array; those of NULLs are empty or not looked at."""
    _, places, texts = array.buffers()
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    kind: Any = np.int64 if wide else np.int32
    raw = np.frombuffer(places, kind)[array.offset : array.offset + len(array) + 1].astype(np.int64) if places else None
    if raw is None or not len(raw):
        raw = np.zeros(len(array) + 1, np.int64)
    data = np.frombuffer(texts, np.uint8) if texts is not None and texts.size else np.zeros(0, np.uint8)
    return raw - raw[0], data[raw[0] : raw[-1]]


def _hex(data: Bytes) -> Bytes:
    """Two hexadecimal digits for each byte, and 12 bytes to spare."""
    text = np.zeros(len(data) * 2 + BLOCK, np.uint8)
    text[0 : len(data) * 2 : 2] = HEX[data >> 4]
    text[1 : len(data) * 2 : 2] = HEX[data & 15]
    return text


def _one(text: bytes, seed: int) -> np.uint64:
    data = np.frombuffer(text + bytes(BLOCK), np.uint8)
    hashed: np.uint64 = hash_texts(np.array([0, len(text)], np.int64), data, seed)[0]
    return hashed


def _exceptions(
    column: Column, number: int, table: pa.Table | pa.RecordBatch, hashes: Hashes, valid: npt.NDArray[np.bool_]
) -> None:
    """What stands in ``_exact`` for a column counts by its text, an instant's without its zone."""
    found = exceptions(column.name, table)
    if found:
        rows = [row for row, _ in found]
        texts = pa.array([text.replace("+00", "", 1) for _, text in found], pa.string())
        hashes[rows] = _texts(texts, number, as_hex=False)
        valid[rows] = True


def exceptions(name: str, table: pa.Table | pa.RecordBatch) -> list[tuple[int, str]]:
    """Row number and text of a column's values that only a text can hold."""
    if EXACT not in table.schema.names:
        return []
    exact = table.column(EXACT)
    if exact.null_count == len(exact):
        return []
    rows = np.flatnonzero(np.asarray(pc.is_valid(exact)))
    told = [json.loads(text) for text in exact.drop_null().to_pylist()]
    return [(int(row), texts[name]) for row, texts in zip(rows, told, strict=True) if name in texts]


def _mix(a: Words, b: Words, c: Words) -> None:
    a -= c
    a ^= _rot(c, 4)
    c += b
    b -= a
    b ^= _rot(a, 6)
    a += c
    c -= b
    c ^= _rot(b, 8)
    b += a
    a -= c
    a ^= _rot(c, 16)
    c += b
    b -= a
    b ^= _rot(a, 19)
    a += c
    c -= b
    c ^= _rot(b, 4)
    b += a


def _final(a: Words, b: Words, c: Words) -> Hashes:
    for x, y, bits in ((c, b, 14), (a, c, 11), (b, a, 25), (c, b, 16), (a, c, 4), (b, a, 14), (c, b, 24)):
        np.bitwise_xor(x, y, out=x)
        np.subtract(x, _rot(y, bits), out=x)
    return (b.astype(np.uint64) << np.uint64(32)) | c


def _rot(x: Words, bits: int) -> Words:
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))
