"""``hornbook corpora``: the texts that are known by name."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from hornbook.errors import CorpusError

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def corpora(context: typer.Context) -> None:
    """List the corpora that are known by name, or fetch one.

    \b
    Examples:
      hornbook corpora
      hornbook corpora fetch tinyshakespeare
    """
    if context.invoked_subcommand is not None:
        return
    from hornbook.cli.screen import print_table, quantity
    from hornbook.corpora import NAMED_CORPORA, is_cached

    rows = []
    for known in NAMED_CORPORA.values():
        here = "with Python" if known.address is None else "yes" if is_cached(known) else "no"
        about = "" if known.sha256 else "about "
        size = about + quantity(known.bytes, "bytes")
        rows.append([known.name, known.title, size, known.origin, here])
    print_table(["name", "what it is", "size", "from", "here"], rows, numbers=["size"])


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a corpus.")],
) -> None:
    """Fetch a corpus now, so that training needs no network; a cut download continues.

    \b
    Example:
      hornbook corpora fetch tinyshakespeare
    """
    from hornbook.cli.screen import ScreenListener
    from hornbook.corpora import NAMED_CORPORA, fetch

    if name not in NAMED_CORPORA:
        near = difflib.get_close_matches(name, NAMED_CORPORA, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise CorpusError(
            f"There is no corpus named {name!r}; there are {', '.join(NAMED_CORPORA)}.{hint}"
        )
    with ScreenListener() as listener:
        print(fetch(NAMED_CORPORA[name], listener=listener))
