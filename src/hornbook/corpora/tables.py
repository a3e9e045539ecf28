"""Documents from rows: one field of a ``.jsonl`` file, one column of a ``.parquet`` file.

Each function yields (row number from 1, text). A row's text must fit in memory; the file
need not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hornbook.corpora.decoding import Errors, decode, invalid_utf8, without_surrogates
from hornbook.corpora.streams import (
    COMPRESSED,
    Reading,
    byte_chunks,
    local_size,
    open_bytes,
    unreadable,
)
from hornbook.errors import CorpusError

_ROWS_AT_ONCE = 256


def jsonl_rows(
    location: str, field: str, errors: Errors, reading: Reading
) -> Iterator[tuple[int, str]]:
    """Yield the text in ``field`` of each line's JSON object; blank lines are passed over.

    Raises:
        CorpusError: for a line that is no JSON object, or whose field is absent or no
            string, naming file and line.
    """
    text = decode(byte_chunks(location, reading), location, errors)
    for number, line in enumerate(lines_of(text), start=1):
        if not line or line.isspace():
            continue
        where = f"{location}, line {number}"
        value = _field_of(line, field, where)
        # Only an escape can bring half a pair into text that was decoded from UTF-8.
        yield number, without_surrogates(value, where, errors) if "\\u" in line else value


def _field_of(line: str, field: str, where: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorpusError(
            f"{where}: not valid JSON: {error}. A .jsonl file holds one JSON object a line."
        ) from None
    if not isinstance(row, dict):
        raise CorpusError(
            f"{where}: a JSON {_kind(row)}, not an object such as "
            f'{{"{field}": "..."}}. A .jsonl file holds one JSON object a line.'
        )
    if field not in row:
        raise CorpusError(
            f"{where}: no field {field!r}; the fields there are {_listed(row)}. "
            "Name the one to read with corpus.field."
        )
    if not isinstance(row[field], str):
        raise CorpusError(
            f"{where}: the field {field!r} is a {_kind(row[field])}, not a string. "
            "Leave the row out, or name another field with corpus.field."
        )
    return row[field]


def lines_of(chunks: Iterable[str]) -> Iterator[str]:
    """Yield lines without their "\\n"; a line longer than a chunk is joined only once.

    >>> list(lines_of(["one\\ntw", "o"]))
    ['one', 'two']
    """
    begun: list[str] = []
    for chunk in chunks:
        first, *others = chunk.split("\n")
        begun.append(first)
        if others:
            yield "".join(begun)
            yield from others[:-1]
            begun = [others[-1]]
    yield "".join(begun)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    return names.get(type(value), "string")


def parquet_rows(
    location: str, column: str, errors: Errors, reading: Reading
) -> Iterator[tuple[int, str]]:
    """Yield the text in ``column`` of each row.

    Raises:
        CorpusError: for a file that is no parquet, a column that is absent or holds no
            strings, a row without a value, naming file and row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _seekable(location) as file:
        try:
            table = pq.ParquetFile(file)
            _check_column(location, column, table.schema_arrow)
            size, rows = local_size(location) or 0, max(1, table.metadata.num_rows)
            number, told = 0, 0
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[column]):
                for value in _as_bytes(batch.column(0)):
                    number += 1
                    yield number, _row_text(value, f"{location}, row {number}", column, errors)
                reading.progress.advance(size * number // rows - told)
                told = size * number // rows
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{location}: not a readable parquet file: {error}") from error


def _check_column(location: str, column: str, schema: Any) -> None:
    import pyarrow as pa

    if column not in schema.names:
        raise CorpusError(
            f"{location}: no column {column!r}; the columns there are {_listed(schema.names)}. "
            "Name the one to read with corpus.field."
        )
    kind = schema.field(column).type
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(plain) or pa.types.is_large_string(plain) or _is_string_view(plain)):
        raise CorpusError(
            f"{location}: the column {column!r} holds {kind}, not strings. "
            "Name a column of strings with corpus.field."
        )


def _is_string_view(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string_view(kind)


def _as_bytes(values: Any) -> list[bytes | None]:
    """Return strings as their bytes, so that decoding them is this room's own affair."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if _is_string_view(values.type):
        values = values.cast(pa.large_string())
    wide = pa.types.is_large_string(values.type)
    return values.cast(pa.large_binary() if wide else pa.binary()).to_pylist()


def _row_text(value: bytes | None, where: str, column: str, errors: Errors) -> str:
    if value is None:
        raise CorpusError(
            f"{where}: the column {column!r} is null. Leave the row out, or name another "
            "column with corpus.field."
        )
    try:
        return value.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise invalid_utf8(where, error, 0) from None


@contextmanager
def _seekable(location: str) -> Iterator[Any]:
    """Open a parquet file so that its end can be read first.

    A compressed file, or an address without random access, goes through a temporary file.
    """
    if not location.endswith(COMPRESSED):
        with open_bytes(location) as file:
            try:
                file.seek(0, 2)
                file.seek(0)
            except (OSError, ValueError):
                pass
            except Exception as error:  # a remote file system may raise anything
                raise unreadable(location, error) from error
            else:
                yield file
                return
    with tempfile.TemporaryFile() as spool:
        for chunk in byte_chunks(location):
            spool.write(chunk)
        spool.seek(0)
        yield spool


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
