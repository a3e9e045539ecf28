"""Files of other tools: read whole, and JSON in them with the place of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hornbook.errors import TokenizerError


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        TokenizerError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error.strerror or error}") from error


def utf8_text(content: bytes, source: str) -> str:
    """Return the text of a file.

    >>> utf8_text(b"caf\\xc3\\xa9", "vocab.json")
    'café'

    Raises:
        TokenizerError: it is no UTF-8; names the line.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TokenizerError(
            f"{source}, line {line}: byte {error.start} of the file, "
            f"{content[error.start]:#04x}, is no UTF-8 ({error.reason})"
        ) from None


def json_object(content: bytes, source: str) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    >>> json_object(b'{"a": 1}', "vocab.json")
    {'a': 1}

    Raises:
        TokenizerError: it is no JSON (names line and column), no object, or has a key twice.
    """

    def without_repeats(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        kept = dict(entries)
        if len(kept) < len(entries):
            seen: set[str] = set()
            for key, _ in entries:
                if key in seen:
                    raise TokenizerError(f"{source}: key {key!r} stands twice in one object")
                seen.add(key)
        return kept

    try:
        document = json.loads(utf8_text(content, source), object_pairs_hook=without_repeats)
    except json.JSONDecodeError as error:
        raise TokenizerError(
            f"{source}: no JSON at line {error.lineno}, column {error.colno} ({error.msg})"
        ) from None
    except (ValueError, RecursionError) as error:  # too many digits, too deep
        raise TokenizerError(f"{source}: {error}") from None
    if not isinstance(document, dict):
        raise TokenizerError(f"{source}: a JSON object is expected")
    return document
