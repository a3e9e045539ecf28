"""A map of tokens as one page to move about in: no network, nothing but this file.

The page's policy lets one script run, the one beside this file, and names it by its checksum; what
a user's vocabulary holds is data for it, and never read as HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files

from hornbook.inspection.embedding_map import TokenMap
from hornbook.inspection.embeddings import KINDS
from hornbook.inspection.lines import clean

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{checksum}'">
<title>{title}: tokens</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="muted">{facts}</p>
<div class="tools">
<input id="search" type="search" placeholder="find tokens" aria-label="Find tokens"
  autocomplete="off">
<select id="view" aria-label="View"></select>
<span><button id="closer" aria-label="Closer">+</button>
<button id="further" aria-label="Further away">−</button>
<button id="whole">all</button></span>
<span id="legend" class="muted"></span>
</div>
</header>
<main>
<div id="map"><canvas id="canvas" tabindex="0"
  aria-label="The tokens on a plane; drag, zoom, point"></canvas><div id="tip" hidden></div></div>
<aside id="about" aria-live="polite"></aside>
</main>
<noscript>This map needs JavaScript; map.svg beside it does not.</noscript>
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfb; --card: #f3f4f7; --line: #dfe2e7;
  --ink: #1d2530; --muted: #5d6775; --accent: #4c3d93; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1f242c; --line: #333b47;
  --ink: #e6e9ee; --muted: #9aa5b4; --accent: #b3a6f0; } }
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
header { padding: .9rem 1.25rem .6rem; }
h1 { margin: 0; font-size: 1.3rem; overflow-wrap: anywhere; }
p { margin: .15rem 0 .5rem; }
.muted { color: var(--muted); }
.tools { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
input, select, button { font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; padding: .25rem .55rem; }
#legend span { white-space: nowrap; margin-right: .9rem; }
#legend i { display: inline-block; width: .65rem; height: .65rem; border-radius: 50%;
  margin-right: .35rem; }
main { flex: 1; display: flex; min-height: 0; border-top: 1px solid var(--line); }
#map { flex: 1; position: relative; min-width: 0; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none;
  cursor: grab; }
#tip { position: absolute; pointer-events: none; padding: .2rem .5rem; border-radius: 6px;
  background: var(--card); border: 1px solid var(--line); white-space: pre; max-width: 20rem;
  overflow: hidden; text-overflow: ellipsis; }
aside { width: 17rem; padding: .9rem 1.1rem; overflow-y: auto; border-left: 1px solid var(--line); }
aside h2 { margin: 0 0 .3rem; font-size: 1.1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
aside button { display: flex; width: 100%; justify-content: space-between; gap: 1rem; border: 0;
  background: none; padding: .15rem 0; text-align: left; cursor: pointer; }
aside button:hover { color: var(--accent); }
aside button span:first-child { white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 44rem) { main { flex-direction: column; } aside { width: auto; height: 40%;
  border-left: 0; border-top: 1px solid var(--line); } }
"""


def map_page(shown: TokenMap, marked: Sequence[int] = ()) -> str:
    """The whole file.

    Args:
        shown: the map.
        marked: ids of tokens, the first of which the page opens with.
    """
    script = files("hornbook.inspection").joinpath("embedding_page.js").read_text("utf-8")
    checksum = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    facts = (
        f"{len(shown.tokens):,} tokens by {shown.what}. Drag to move, turn the wheel or pinch to "
        "come closer, point at a token to see its neighbours, click to keep it."
    )
    return _PAGE.format(
        checksum=checksum,
        title=html.escape(clean(shown.title)),
        facts=html.escape(clean(facts)),
        style=_STYLE,
        data=_data(shown, marked),
        script=script,
    )


def _data(shown: TokenMap, marked: Sequence[int]) -> str:
    """The map as JSON that may stand inside a page."""
    kinds = list(KINDS)
    places = {
        view.name: [[float(f"{x:.5g}"), float(f"{y:.5g}")] for x, y in view.places.tolist()]
        for view in shown.views
    }
    content = {
        "names": [clean(name) for name in shown.names],
        "ids": list(shown.tokens),
        "kinds": [[name, *colours] for name, colours in KINDS.items()],
        "kind": [kinds.index(kind) for kind in shown.kinds],
        "counts": None if shown.counts is None else list(shown.counts),
        "norms": [round(norm, 3) for norm in shown.norms],
        "near": [[[n.token, round(n.cosine, 3)] for n in found] for found in shown.near],
        "views": places,
        "marked": [token for token in marked if token in shown.tokens],
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
