"""A server that is told to end: what is written is finished, what is new is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest

import hornbook


def test_running_answers_finish_and_new_ones_are_refused(
    serve: Callable[..., Any], finished_run: hornbook.Run
) -> None:
    with serve() as served:
        client = served.client()
        parts = client.completions.create(
            model=finished_run.name, prompt="The", max_tokens=300, seed=4, stream=True
        )
        texts = [next(parts).choices[0].text]
        connection = HTTPConnection("127.0.0.1", served.port, timeout=60)
        connection.request("GET", "/health")
        connection.getresponse().read()
        served.server.end()
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "The"}))
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("retry-after")) == (503, "2")
        answer.read()
        connection.request("GET", "/health")
        assert connection.getresponse().status == 503
        texts += [part.choices[0].text for part in parts]
        served.thread.join(60)
    sample = finished_run.sample("The", max_tokens=300, seed=4, temperature=1)
    assert "".join(texts) == sample.text


def test_who_takes_too_long_is_told(serve: Callable[..., Any], finished_run: hornbook.Run) -> None:
    openai = pytest.importorskip("openai")
    with serve(farewell=0.1) as served:
        client = served.client()
        settings: dict[str, Any] = {
            "model": finished_run.name,
            "prompt": "The",
            "max_tokens": 8000,
            "seed": 2,
        }
        settings["extra_body"] = {"stop_at_end": False}
        parts = client.completions.create(stream=True, **settings)
        next(parts)
        refused: list[Any] = []

        def wait() -> None:
            try:
                client.completions.create(**settings)
            except openai.APIStatusError as error:
                refused.append(error.status_code)

        waiting = threading.Thread(target=wait)
        waiting.start()
        while served.ask(path="/health")[1]["written"] < 2:
            pass
        served.server.end()
        with pytest.raises(openai.APIError, match="has ended before"):
            list(parts)
        waiting.join(60)
        assert refused == [503]


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGTERM")
def test_sigterm_ends_the_command(finished_run: hornbook.Run) -> None:
    words = ["serve", str(finished_run.path), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "hornbook", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        ending = threading.Timer(60, process.kill)  # a test waits for nothing for ever
        ending.start()
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/v1", line)
        assert found, line
        connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "The", "seed": 1}))
        text = json.loads(connection.getresponse().read())["choices"][0]["text"]
        assert text == finished_run.sample("The", max_tokens=16, seed=1, temperature=1).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()
        ending.cancel()
