"""A chart as Mermaid, which many sites and editors draw from text.

flowchart TD
  start(["token ids [B, T]"]) --> n1["token embedding<br/>…"]
  n1 -- "[B, T, d_model = 32]" --> n2["…"]
"""

from __future__ import annotations

from hornbook.inspection.diagrams.flow import Box, Flow, Item, Repeat, Residual


def as_mermaid(flow: Flow, title: str) -> str:
    """The text of the chart."""
    writer = _Writer()
    writer.lines += [f"%% {title}: {flow.facts}", "flowchart TD"]
    writer.node(f'(["{_quoted(flow.start)}"])')
    for item in flow.items:
        writer.add(item)
    writer.node('(["logits"])')
    return "\n".join(writer.lines) + "\n"


class _Writer:
    """Writes nodes one after the other, each with an edge from the one before."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count, self._last, self._shape, self._indent = 0, "", "", "  "

    def node(self, shape: str, label: str = "") -> str:
        self._count += 1
        name = f"n{self._count}"
        self.lines.append(f"{self._indent}{name}{shape}")
        if self._last:
            words = f'-- "{_quoted(self._shape)}" -->' if self._shape else "-->"
            self.lines.append(f"{self._indent}{self._last} {words} {name}")
        self._last, self._shape = name, label
        return name

    def add(self, item: Item) -> None:
        if isinstance(item, Repeat):
            times = f"× {item.times}, " if item.times > 1 else ""
            self.lines.append(f'{self._indent}subgraph g{self._count}["{times}{item.caption}"]')
            self._indent += "  "
            for part in item.inside:
                self.add(part)
            self._indent = self._indent[:-2]
            self.lines.append(f"{self._indent}end")
        elif isinstance(item, Residual):
            before = self._last
            for box in item.inside:
                self._box(box)
            total = self.node('(("+"))', item.shape)
            self.lines.append(f"{self._indent}{before} --> {total}")
        else:
            self._box(item)

    def _box(self, box: Box) -> None:
        words = [box.title, *box.lines]
        if box.parameters:
            words.append(f"{box.parameters:,} parameters")
        name = self.node(f'["{"<br/>".join(map(_quoted, words))}"]', box.shape)
        if box.side is not None:
            beside = f"s{self._count}"
            told = "<br/>".join(map(_quoted, (box.side.title, *box.side.lines)))
            self.lines.append(f'{self._indent}{beside}[("{told}")]')
            self.lines.append(f"{self._indent}{name} <--> {beside}")


def _quoted(text: str) -> str:
    """Text inside quotation marks, where some signs mean something to Mermaid.

    >>> _quoted('a "b" <c>')
    'a #quot;b#quot; #lt;c#gt;'
    """
    return text.replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
