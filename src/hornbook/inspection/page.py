"""Pieces of a page that stands alone: no script, no network, light and dark.

Every function takes plain text and escapes it, so that nothing a model or a user wrote is
ever read as HTML; ``Markup`` is what has been escaped already. Should something slip
through all the same, the page's own policy forbids the browser to run or to load anything.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from hornbook.inspection.lines import clean

_STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfb; --card: #f3f4f7; --line: #dfe2e7;
  --ink: #1d2530; --muted: #5d6775; --accent: #4c3d93; --best: #fbeee7; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1f242c; --line: #333b47;
  --ink: #e6e9ee; --muted: #9aa5b4; --accent: #b3a6f0; --best: #3a2a20; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.2rem; }
p { margin: .5rem 0; max-width: 44rem; }
.muted, th, dt { color: var(--muted); font-weight: 500; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .3rem 1.5rem;
  margin: 1.5rem 0; }
dd { margin: 0; }
figure { margin: 1.5rem 0; border-radius: 8px; overflow: hidden; background: #fdfdfb; }
figure svg { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
.best td { background: var(--best); font-weight: 600; }
code, pre { font: .85rem/1.5 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { margin: 0; white-space: pre-wrap; }
.sample { margin: .75rem 0; padding: .8rem 1rem; border-radius: 8px; background: var(--card); }
.sample h3 { margin: 0 0 .35rem; font-size: .9rem; color: var(--accent); }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


class Markup(str):
    """HTML that is safe to put into a page."""


def escaped(text: object) -> Markup:
    """Plain text as HTML; what is ``Markup`` already stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(clean(str(text))))


def joined(parts: Iterable[object], between: str = "\n") -> Markup:
    """Several pieces one after the other."""
    return Markup(between.join(escaped(part) for part in parts))


def element(tag: str, *inner: object, kind: str = "") -> Markup:
    """``<tag class="kind">inner</tag>``.

    >>> element("p", "a < b", kind="muted")
    '<p class="muted">a &lt; b</p>'
    """
    name = f' class="{html.escape(kind)}"' if kind else ""
    return Markup(f"<{tag}{name}>{joined(inner, '')}</{tag}>")


def facts(pairs: Iterable[tuple[object, object]]) -> Markup:
    """A list of names and what is to be said of each."""
    rows = (joined((element("dt", name), element("dd", text)), "") for name, text in pairs)
    return element("dl", "\n", joined(rows), "\n")


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    best: int | None = None,
) -> Markup:
    """A table; the columns of ``numbers`` are aligned right, row ``best`` stands out."""
    kinds = ["number" if header in numbers else "" for header in headers]
    head = (element("th", text, kind=kind) for text, kind in zip(headers, kinds, strict=True))
    lines = [element("tr", *head)]
    for index, row in enumerate(rows):
        line = (element("td", text, kind=kind) for text, kind in zip(row, kinds, strict=True))
        lines.append(element("tr", *line, kind="best" if index == best else ""))
    return element("div", element("table", "\n", joined(lines), "\n"), kind="wide")


def page(title: str, body: Iterable[object]) -> str:
    """The whole file."""
    return _PAGE.format(title=escaped(title), style=_STYLE, body=joined(body))
