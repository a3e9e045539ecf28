"""The base of every configuration: frozen, strict about unknown keys, self-describing.

A room declares its settings beside the code that reads them. The text under a field is its
help; it ends with the unit in brackets where the number has one:

    class StreamSettings(Settings):
        stride: int = Field(default=64, ge=1)
        \"\"\"How far one window starts after the one before [tokens].\"\"\"

``hornbook config`` prints exactly these texts. Values that are wrong on their own are found
by pydantic; values that do not fit together are found by ``conflicts``, which each room
overrides, so that the run's configuration can report every problem at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from hornbook.errors import Problem


class Settings(BaseModel):
    """Frozen settings of one room: unknown keys are refused, help stands under each field."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        validate_default=True,
        allow_inf_nan=False,
    )

    def conflicts(self) -> Iterator[Problem]:
        """Yield a ``Problem`` for each pair of values that do not fit together.

        Keys are relative to this room (``heads``, not ``model.heads``).
        """
        yield from ()


def as_written(value: Any) -> str:
    """A setting's value as a person writes it: one item of a list stands without brackets.

    >>> as_written(("3=1e300",)), as_written(("",)), as_written(((262, -5.0),))
    ('3=1e300', '""', '262=-5.0')
    >>> as_written(("a", "b")), as_written([0.9, 1.5]), as_written(()), as_written(0.3)
    ('["a", "b"]', '[0.9, 1.5]', '[]', '0.3')
    """
    if not isinstance(value, list | tuple):
        return str(value)
    items = ["=".join(map(str, each)) if isinstance(each, list | tuple) else each for each in value]
    if len(items) == 1:
        return str(items[0]) or '""'
    return json.dumps(items, ensure_ascii=False, default=str)
