"""``config.json``: read key by key, and everything in it that cannot be done is gathered.

    values = ForeignConfig({"n_layer": 12, "activation_function": "mish"}, "config.json")
    values.whole("n_layer")                                    # 12
    values.choice("activation_function", {"gelu_new": "gelu_tanh"}, "gelu_new")
    values.problems    # ["activation_function is 'mish'; it can be gelu_new"]

A key that is not there has the value that ``transformers`` gives it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from hornbook.errors import InteropError

T = TypeVar("T")


class ForeignConfig:
    """The keys of a model's ``config.json``.

    Args:
        values: the keys.
        source: what errors call the file.

    Attributes:
        problems: what is wrong so far, a sentence each.
        incomplete: whether a size is missing, so that what follows from the sizes says nothing.
    """

    def __init__(self, values: Mapping[str, Any], source: str = "config.json") -> None:
        self.values = dict(values)
        self.source = source
        self.problems: list[str] = []
        self.incomplete = False

    @classmethod
    def read(cls, path: Path) -> ForeignConfig:
        """Read a file.

        Raises:
            InteropError: it cannot be read, or is no JSON object.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
        except ValueError as error:
            reason = f"is no JSON: {error}"
        else:
            if isinstance(values, dict):
                return cls(values, str(path))
            reason = "is no JSON object"
        raise InteropError("This model cannot be imported", [f"{path} {reason}"])

    def whole(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least ``least``; where it is wrong, 1 stands in for it."""
        value = self._value(key, default)
        if type(value) is int and least <= value < 1 << 31:
            return value
        self.incomplete |= value is None
        self._add(key, value, f"a whole number from {least} is expected")
        return max(least, 1)

    def number(self, key: str, default: float, *, least: float = 0.0, below: float = 1e9) -> float:
        """A number from ``least`` up to but not including ``below``."""
        value = self._value(key, default)
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if right and math.isfinite(value) and least <= value < below:
            return float(value)
        self._add(key, value, f"a number from {least:g} and below {below:g} is expected")
        return default

    def truth(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if isinstance(value, bool):
            return value
        self._add(key, value, "true or false is expected")
        return default

    def choice(self, key: str, options: Mapping[str, T], default: str) -> T:
        """What we call one of the options."""
        value = self._value(key, default)
        if isinstance(value, str) and value in options:
            return options[value]
        self._add(key, value, f"it can be {' or '.join(options)}")
        return options[default]

    def must_be(self, key: str, wanted: Any, otherwise: str) -> None:
        """Refuse any other value than ``wanted``, which is also what a missing key means."""
        value = self._value(key, wanted)
        if value != wanted:
            self._add(key, value, f"{otherwise}; only {json.dumps(wanted)} can be imported")

    def token_ids(self, key: str) -> tuple[int, ...]:
        """One id, several or none."""
        value = self.values.get(key)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        return tuple(entry for entry in listed if type(entry) is int)

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        return default if value is None else value

    def _add(self, key: str, value: Any, reason: str) -> None:
        shown = "missing" if value is None else f"{value!r:.60}"
        self.problems.append(f"{self.source}: {key} is {shown}; {reason}")
