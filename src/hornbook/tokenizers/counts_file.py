"""Counts on disk: a Parquet file that any tool for tables can read.

    pre_token  binary   in the order of bytes, each once
    count      int64    from 1

What else is known stands as JSON in the schema's metadata under ``hornbook_counts``:

    {"schema_version": 1, "pattern": "gpt2", "special_tokens": ["<|endoftext|>"],
     "dropped": 0, "texts": 12, "text_bytes": 4096, "checksum": "5f1c..."}

Equal counts give equal bytes, as long as the version of pyarrow is the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field, ValidationError

from hornbook.durable import write_durably
from hornbook.errors import TokenizerError
from hornbook.settings import Settings
from hornbook.tokenizers.byte_sort import Content, Places

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
"""Grows by one with each change of the file's form; a newer file is refused."""

METADATA_KEY = b"hornbook_counts"

_GROUP = 1 << 20
"""The entries of one row group; written and read at once."""
_GROUP_BYTES = 1 << 30
"""The bytes of pre-tokens in one row group; Parquet allows two gigabytes."""


class CountsFacts(Settings):
    """What is known of counts beside the counts; see ``PreTokenCounts``."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    pattern: str
    special_tokens: tuple[str, ...]
    dropped: int = Field(ge=0)
    texts: int = Field(ge=0)
    text_bytes: int = Field(ge=0)
    checksum: str = ""
    """SHA-256 over all of this, without the checksum, and over the entries."""


class StoredCounts(NamedTuple):
    """What a file of counts holds; the arrays are those of ``PreTokenCounts``."""

    content: Content
    ends: Places
    counts: Places
    facts: CountsFacts


def write_counts(path: Path, stored: StoredCounts) -> None:
    """Write counts to ``path``, whole or not at all.

    Raises:
        TokenizerError: the place cannot be written, or one pre-token is longer than 2 GB.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = stored.facts.model_copy(update={"checksum": _checksum(stored)})
    schema = pa.schema(_columns(), metadata={METADATA_KEY: facts.model_dump_json()})
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        use_dictionary=False,  # every entry is another one
    ) as writer:
        for first, last in _groups(stored.ends):
            writer.write_table(_table(stored, first, last, schema), row_group_size=_GROUP)
    try:
        write_durably(path, sink.getvalue())
    except OSError as error:
        raise TokenizerError(
            f"{path}: the counts cannot be written: {error.strerror or error}"
        ) from error


def read_counts(path: Path) -> StoredCounts:
    """Read a file that ``write_counts`` wrote.

    Raises:
        TokenizerError: the file is missing, is no file of counts, is damaged, or is of a newer
            schema; says which.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open(path, "rb") as stream:
            file = pq.ParquetFile(stream)
            facts = _facts(path, file.schema_arrow)
            groups = [_arrays(batch) for batch in file.iter_batches(batch_size=_GROUP)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    stored = _joined(groups, facts)
    if _checksum(stored) != facts.checksum:
        raise TokenizerError(
            f"{path}: the counts are damaged or were changed, they do not match their checksum; "
            "count the text again"
        )
    return stored


def _columns() -> list[tuple[str, Any]]:
    import pyarrow as pa

    return [("pre_token", pa.binary()), ("count", pa.int64())]


def _groups(ends: Places) -> Iterator[tuple[int, int]]:
    """Yield the first entry of each row group and the one after its last."""
    first = 0
    while first < len(ends):
        begin = int(ends[first - 1]) if first else 0
        fitting = int(np.searchsorted(ends, begin + _GROUP_BYTES, side="right"))
        last = max(first + 1, min(first + _GROUP, fitting))
        yield first, last
        first = last


def _table(stored: StoredCounts, first: int, last: int, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    begin = int(stored.ends[first - 1]) if first else 0
    end = int(stored.ends[last - 1])
    if end - begin > np.iinfo(np.int32).max:
        raise TokenizerError(
            f"a pre-token has {end - begin:,} bytes, more than one cell of a Parquet file holds; "
            "cut the text with another pattern"
        )
    offsets = np.concatenate([[0], stored.ends[first:last] - begin]).astype(np.int32)
    content = pa.py_buffer(np.ascontiguousarray(stored.content[begin:end]))
    pre_tokens = pa.Array.from_buffers(
        pa.binary(), last - first, [None, pa.py_buffer(offsets), content]
    )
    return pa.table([pre_tokens, pa.array(stored.counts[first:last])], schema=schema)


def _facts(path: Path, schema: pa.Schema) -> CountsFacts:
    """Return what the metadata says.

    Raises:
        TokenizerError: this is no file of counts, or a key is missing or wrong.
    """
    metadata = (schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise TokenizerError(
            f"{path}: a Parquet file, but none that hornbook tokenizer count wrote (its metadata "
            f"lacks {METADATA_KEY.decode()!r}); a Parquet file of texts is read without --counts"
        )
    try:
        facts = CountsFacts.model_validate_json(metadata, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or METADATA_KEY.decode()
        newer = "; install a newer hornbook" if key == "schema_version" else ""
        raise TokenizerError(
            f"{path}: the metadata's key {key!r} cannot be used: {first['msg']}{newer}"
        ) from None
    if [(field.name, field.type) for field in schema] != _columns():
        raise TokenizerError(
            f"{path}: the columns are {', '.join(schema.names) or 'none'} instead of pre_token "
            "(binary) and count (int64); the file was changed"
        )
    return facts


def _arrays(batch: pa.RecordBatch) -> tuple[Content, Places, Places]:
    """Return the stretches and the counts of one batch, as numpy arrays.

    Raises:
        pa.ArrowInvalid: a cell is null.
    """
    import pyarrow as pa

    pre_tokens, counts = batch.columns
    if pre_tokens.null_count or counts.null_count:
        raise pa.ArrowInvalid("a cell is null")
    _, offsets, content = pre_tokens.buffers()
    # A slice of an array keeps the whole array's buffers.
    edges = np.frombuffer(offsets, dtype=np.int32)[pre_tokens.offset :][: len(batch) + 1]
    empty = np.empty(0, dtype=np.uint8)
    taken = empty if content is None else np.frombuffer(content, dtype=np.uint8)
    begin, end = int(edges[0]), int(edges[-1])
    return taken[begin:end], edges[1:].astype(np.int64) - begin, counts.to_numpy()


def _joined(groups: list[tuple[Content, Places, Places]], facts: CountsFacts) -> StoredCounts:
    if not groups:
        groups = [(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))]
    contents, ends, counts = zip(*groups, strict=True)
    before = np.cumsum([0, *(len(content) for content in contents[:-1])])
    return StoredCounts(
        np.concatenate(contents),
        np.concatenate([part + moved for part, moved in zip(ends, before, strict=True)]),
        np.concatenate(counts),
        facts,
    )


def _checksum(stored: StoredCounts) -> str:
    """Return the SHA-256 of everything a file of counts holds, in hexadecimal."""
    facts = stored.facts.model_copy(update={"checksum": ""})
    digest = hashlib.sha256(facts.model_dump_json().encode("utf-8"))
    for array, kind in ((stored.content, "u1"), (stored.ends, "<i8"), (stored.counts, "<i8")):
        digest.update(np.ascontiguousarray(array, dtype=kind).data)
    return digest.hexdigest()


def _unreadable(path: Path, error: Exception) -> TokenizerError:
    reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
    return TokenizerError(
        f"{path}: cannot be read as a file of counts: {reason}. hornbook tokenizer count --out "
        "FILE writes one"
    )
