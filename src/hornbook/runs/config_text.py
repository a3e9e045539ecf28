"""A ``RunConfig`` as TOML that a person may read, copy and change: help above each key.

# The most tokens that the model sees at once; the length of a window [tokens].
context_length = 128
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import tomli_w
from pydantic import BaseModel

from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import variants

_WIDTH = 92


def config_text(config: RunConfig, *, other_kinds: bool = False) -> str:
    """The settings as TOML with their help; reading it back gives an equal ``RunConfig``.

    Args:
        config: what to write.
        other_kinds: also list, commented out, the keys of the kinds that were not chosen.
    """
    return "\n".join(_table(config, "", other_kinds=other_kinds)).strip() + "\n"


def _table(config: BaseModel, name: str, *, other_kinds: bool) -> Iterator[str]:
    fields = type(config).model_fields
    inner = {key: getattr(config, key) for key in fields}
    if name:
        yield f"[{name}]"
    for key, value in inner.items():
        if not isinstance(value, BaseModel):
            yield from _help(fields[key].description)
            yield _line(key, value)
            yield ""
    for key, value in inner.items():
        if isinstance(value, BaseModel):
            path = f"{name}.{key}" if name else key
            yield from _help(fields[key].description)
            yield from _table(value, path, other_kinds=other_kinds)
            if other_kinds:
                yield from _unchosen(path, fields[key].annotation, value)


def _unchosen(path: str, annotation: Any, chosen: BaseModel) -> Iterator[str]:
    for variant in variants(annotation):
        if variant is type(chosen):
            continue
        kind = variant.model_fields["kind"].default
        yield f'# with {path}.kind = "{kind}":'
        for key, field in variant.model_fields.items():
            if key != "kind":
                yield from _help(field.description, indent="#   ")
                yield f"#   {_line(key, field.get_default())}"
        yield ""


def _line(key: str, value: Any) -> str:
    return tomli_w.dumps({key: list(value) if isinstance(value, tuple) else value}).strip()


def _help(text: str | None, indent: str = "# ") -> Iterator[str]:
    for line in textwrap.wrap(" ".join((text or "").split()), _WIDTH):
        yield indent + line if indent == "# " else f"{indent}# {line}"
