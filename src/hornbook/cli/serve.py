"""``hornbook serve``: a run behind an address that OpenAI's clients know how to talk to."""

from __future__ import annotations

from typing import Annotated

import typer

from hornbook.cli.shared_options import Compiled, Device, Quantise, RunToRead, bring
from hornbook.errors import HornbookError


def serve(
    run: RunToRead,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(help="The address to listen at. One that others can reach needs a token."),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="HORNBOOK_TOKEN",
            show_default=False,
            help="What requests must send as their API key. The variable is the better place: "
            "others can see a command's words.",
        ),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Texts written at the same time.")
    ] = None,
    waiting: Annotated[
        int | None, typer.Option(min=0, help="Texts that may wait; beyond: come again later.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="The most tokens of a prompt and its text together.")
    ] = None,
    farewell: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Time to finish texts after Ctrl-C."),
    ] = None,
    quantise: Quantise = None,
    compiled: Compiled = False,
    device: Device = "auto",
) -> None:
    """Serve a run over HTTP, as OpenAI's completions: /v1/completions, /v1/models, /health.

    Requests that come together are written together. Point a client's base URL at
    http://127.0.0.1:8000/v1; the model is called as the run's folder is.

    \b
    Examples:
      hornbook serve runs/poems-tiny
      hornbook serve runs/poems-tiny --port 9000 --rows 16
      HORNBOOK_TOKEN=... hornbook serve runs/poems-tiny --host 0.0.0.0
    """
    try:
        from hornbook.serving.limits import Limits
        from hornbook.serving.server import check_openness
        from hornbook.serving.server import serve as serve_run
    except ImportError as error:
        raise HornbookError(
            f"hornbook serve needs {error.name}: pip install 'hornbook[serve]'"
        ) from None
    from hornbook.cli.screen import ScreenListener
    from hornbook.runs.run import open_run

    check_openness(host, token)
    opened = open_run(run)
    bring(opened, device, quantise)
    given = {"rows": rows, "waiting": waiting, "tokens": tokens, "farewell": farewell}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    with ScreenListener() as listener:
        if compiled:
            opened.compile([1, 2], listener=listener)
        serve_run(opened, host=host, port=port, token=token, limits=limits, listener=listener)
