"""``tokenizer.json``: one file a person can read, and that loads into the same tokenizer.

    {
      "schema_version": 1,
      "kind": "char",
      "unknown": "bytes",
      "vocabulary": [
        " ",
        "e"
      ]
    }

Lists stand one entry a line, so that two vocabularies can be compared line by line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hornbook.errors import TokenizerError

SCHEMA_VERSION = 1
"""Grows by one with each change of the file's form; a newer file is refused."""

FILE_NAME = "tokenizer.json"


class StoredFields:
    """The keys of one stored tokenizer; reading one that is not as it should be names it.

    Raises:
        TokenizerError: from the constructor, when ``document`` is no stored tokenizer of a
            schema version this software knows.
    """

    def __init__(self, document: object, source: str) -> None:
        self.source = source
        if not isinstance(document, Mapping):
            raise self.problem("this is not a hornbook tokenizer: a JSON object is expected")
        self._fields: dict[str, Any] = dict(document)
        if "schema_version" not in self._fields:
            raise self.problem(
                "key 'schema_version' is missing, so this is not a hornbook tokenizer (other "
                "tools give their files the same name); train one, or import the other tool's"
            )
        version = self._fields.pop("schema_version")
        if type(version) is not int or version < 1:
            raise self.problem(f"key 'schema_version': a whole number from 1, not {version!r}")
        if version > SCHEMA_VERSION:
            raise self.problem(
                f"key 'schema_version' is {version}, but this hornbook reads up to "
                f"{SCHEMA_VERSION}; install a newer hornbook"
            )

    def problem(self, message: str) -> TokenizerError:
        """Make the error that says ``message`` about this file."""
        return TokenizerError(f"{self.source}: {message}")

    def text(self, key: str) -> str:
        """Take a text out of the fields."""
        value = self._take(key)
        if not isinstance(value, str):
            raise self.problem(f"key {key!r}: a text is expected, not {_shown(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of texts out of the fields."""
        values = self.entries(key)
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise self.problem(f"key {key!r}[{number}]: a text, not {_shown(value)}")
        return tuple(values)

    def texts_or_ids(self, key: str) -> tuple[str, ...] | dict[str, int]:
        """Take a list of texts, or texts with a whole number each, out of the fields."""
        if not isinstance(self._fields.get(key), dict):
            return self.texts(key)
        values: dict[str, Any] = self._take(key)
        for name, value in values.items():
            if type(value) is not int:
                raise self.problem(f"key {key!r}[{name!r}]: a whole number, not {_shown(value)}")
        return values

    def integers(self, key: str) -> tuple[int, ...]:
        """Take a list of whole numbers out of the fields."""
        values = self.entries(key)
        for number, value in enumerate(values):
            if type(value) is not int:
                raise self.problem(f"key {key!r}[{number}]: a whole number, not {_shown(value)}")
        return tuple(values)

    def entries(self, key: str) -> list[Any]:
        """Take a list of anything out of the fields."""
        values = self._take(key)
        if not isinstance(values, list):
            raise self.problem(f"key {key!r}: a list is expected, not {_shown(values)}")
        return values

    def finish(self) -> None:
        """Refuse keys that nothing has taken: they would be lost in silence."""
        if self._fields:
            unknown = ", ".join(map(repr, self._fields))
            raise self.problem(f"keys that this kind of tokenizer does not have: {unknown}")

    def _take(self, key: str) -> Any:
        if key not in self._fields:
            raise self.problem(f"key {key!r} is missing")
        return self._fields.pop(key)


def read_fields(path: Path) -> StoredFields:
    """Read a tokenizer's file, or the ``tokenizer.json`` in a folder.

    Raises:
        TokenizerError: there is no such file, or it is no hornbook tokenizer.
    """
    if path.is_dir():
        path = path / FILE_NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TokenizerError(
            f"{path}: cannot be read: {error.strerror}. Give a tokenizer.json, or the folder of a "
            "run that has one."
        ) from error
    try:
        document = json.loads(content.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise TokenizerError(
            f"{path}: this is not a hornbook tokenizer: no JSON at line {error.lineno}, "
            f"column {error.colno} ({error.msg})"
        ) from None
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path}: this is not a hornbook tokenizer: byte {error.start} is no UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: this is not a hornbook tokenizer: {error}") from None
    return StoredFields(document, str(path))


def render(document: Mapping[str, Any]) -> bytes:
    """Return a stored tokenizer as the bytes of its file.

    >>> print(render({"kind": "char", "vocabulary": ["e", "t"]}).decode(), end="")
    {
      "kind": "char",
      "vocabulary": [
        "e",
        "t"
      ]
    }
    """
    lines = [f"  {_json(key)}: {_rendered(value)}" for key, value in document.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one form of a JSON document that fingerprints are taken of.

    >>> canonical({"b": [1, 2], "a": "é"}).decode()
    '{"a":"é","b":[1,2]}'
    """
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8")


def _rendered(value: Any) -> str:
    if not isinstance(value, list) or all(type(entry) is int for entry in value):
        return _json(value)
    return "[\n" + ",\n".join(f"    {_json(entry)}" for entry in value) + "\n  ]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
