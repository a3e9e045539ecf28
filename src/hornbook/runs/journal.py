"""Lines of JSON that only grow: ``metrics.jsonl``, ``samples.jsonl`` and ``notes.jsonl``.

A killed process may leave lines behind that are newer than its last checkpoint, or half a
line. ``cut_back`` takes both off when the run goes on, so that no step ever stands twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hornbook.durable import write_durably


class Journal:
    """One file of JSON lines, each with the ``step`` it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line at the end; it is safe from a killed process at once."""
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
        with open(self.path, "ab") as file:
            file.write(line.encode("utf-8"))

    def sync(self) -> None:
        """Make all lines safe from a power cut too."""
        if self.path.exists():
            with open(self.path, "rb+") as file:
                os.fsync(file.fileno())

    def entries(self) -> Iterator[dict[str, Any]]:
        """Every whole line, oldest first; half a line at the end is left out."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            for raw in file:
                entry = _parsed(raw)
                if entry is not None:
                    yield entry

    def cut_back(self, step: int) -> None:
        """Keep the lines up to and including ``step``; the rest will be written again."""
        if self.path.exists():
            self._keep_damaged_lines()
            kept = [entry for entry in self.entries() if entry.get("step", 0) <= step]
            lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept]
            write_durably(self.path, "".join(lines).encode("utf-8"))

    def _keep_damaged_lines(self) -> None:
        """Copy the file beside itself if it has whole lines that cannot be read."""
        raw = self.path.read_bytes()
        lines = raw.splitlines(keepends=True)
        if any(line.endswith(b"\n") and _parsed(line) is None for line in lines):
            write_durably(self.path.with_name(f"{self.path.name}.damaged"), raw)


def _parsed(raw: bytes) -> dict[str, Any] | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        entry = json.loads(raw)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
