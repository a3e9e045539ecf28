"""What a server turns down: how, with which words, and that it lives on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import hornbook
from hornbook.errors import ConfigError, HornbookError
from hornbook.serving.server import check_openness, serving


@pytest.mark.parametrize(
    ("wrong", "status", "param"),
    [
        ({"temperature": -1}, 400, "temperature"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"top_p": 0}, 400, "top_p"),
        ({"top_p": 1.5}, 400, "top_p"),
        ({"top_k": 100_000}, 400, None),
        ({"stop": ""}, 400, "stop"),
        ({"stop": ["a", ""]}, 400, "stop"),
        ({"stop": ["a"] * 99}, 400, "stop"),
        ({"n": 10_000}, 400, "n"),
        ({"n": 0}, 400, "n"),
        ({"n": 10**40}, 400, "n"),
        ({"n": True}, 400, "n"),
        ({"prompt": ["a"] * 100, "n": 2}, 400, "n"),
        ({"max_tokens": -1}, 400, "max_tokens"),
        ({"max_tokens": 10**9}, 400, "max_tokens"),
        ({"prompt": "word " * 40_000}, 400, "prompt"),
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": [[]]}, 400, "prompt"),
        ({"prompt": ["a", 1]}, 400, "prompt"),
        ({"prompt": [1, True]}, 400, "prompt"),
        ({"prompt": {"a": 1}}, 400, "prompt"),
        ({"prompt": [100_000]}, 400, "prompt"),
        ({"prompt": [-1]}, 400, "prompt"),
        ({"prompt": "\ud800"}, 400, "prompt"),
        ({"logprobs": 21}, 400, "logprobs"),
        ({"logprobs": -1}, 400, "logprobs"),
        ({"logit_bias": {"a": 1}}, 400, "logit_bias"),
        ({"logit_bias": {"1": 1000}}, 400, "logit_bias"),
        ({"logit_bias": {"100000": 1}}, 400, None),
        ({"presence_penalty": 3}, 400, "presence_penalty"),
        ({"best_of": 4}, 400, "best_of"),
        ({"suffix": "end"}, 400, "suffix"),
        ({"frob": 1}, 400, "frob"),
        ({"pattern": "(a|b)*"}, 400, "pattern"),
        ({"samples": 2}, 400, "samples"),
        ({"min_p": 2}, 400, "min_p"),
        ({"model": "gpt-9"}, 404, "model"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_requests_that_make_no_sense(
    wrong: dict[str, Any], status: int, param: str | None, served: Any
) -> None:
    found, answer, _ = served.ask({"prompt": "The", "max_tokens": 2, **wrong})
    error = answer["error"]
    assert (found, error["param"]) == (status, param), error
    assert error["type"] in {"invalid_request_error", "not_found_error"}
    assert error["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{broken", b"[]", b"\xff\xfe", b'{"temperature": NaN}', b"[" * 100_000, b"1" * 5000],
    ids=lambda body: repr(body[:12]),
)
def test_broken_json(body: bytes, served: Any) -> None:
    status, answer, _ = served.ask(body)
    assert status == 400
    assert "JSON" in answer["error"]["message"]


@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes_are_too_much(chunked: bool, served: Any) -> None:
    body = b'{"prompt": "' + b"a" * 10_000_000 + b'"}'
    if not chunked:
        status, answer, _ = served.ask(body)
        assert status == 413
        assert "1,048,576 bytes" in answer["error"]["message"]
        return
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as sending:
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
        sending.sendall(f"{head}\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
        assert sending.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_never_ends_is_not_waited_for(serve: Callable[..., Any]) -> None:
    with (
        serve(patience=0.2) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=60) as sending,
    ):
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
        sending.sendall(head.encode())
        assert sending.recv(100).startswith(b"HTTP/1.1 408")


def test_other_addresses_and_ways(served: Any) -> None:
    assert served.ask(path="/v1/chat/completions")[0] == 404
    status, answer, _ = served.ask(path="/v1/completions")
    assert (status, answer["error"]["type"]) == (405, "invalid_request_error")
    assert served.ask(path="/v1/models/other")[0] == 404


def test_names_that_are_not_this_machines_are_refused(served: Any) -> None:
    body = {"prompt": "The", "max_tokens": 1}
    assert served.ask(body, Host="evil.example")[0] == 403
    assert served.ask(body, Host=f"evil.example:{served.port}")[0] == 403
    assert served.ask(body, Host="[")[0] == 403
    assert served.ask(body, Origin="https://evil.example")[0] == 403
    assert served.ask(body, Origin="null")[0] == 403
    assert served.ask(body, Host=f"localhost:{served.port}")[0] == 200
    assert served.ask(body, Origin="http://localhost:3000")[0] == 200


def test_a_token_must_be_known(serve: Callable[..., Any]) -> None:
    body = {"prompt": "The", "max_tokens": 1}
    with serve(token="open sésame") as served:
        status, answer, headers = served.ask(body)
        assert (status, answer["error"]["type"]) == (401, "authentication_error")
        assert headers["www-authenticate"] == "Bearer"
        assert "sésame" not in str(answer)
        for wrong in ("Bearer wrong", "Bearer", "Basic open sesame", "open"):
            assert served.ask(body, Authorization=wrong)[0] == 401
        assert served.ask(path="/v1/models")[0] == 401
        assert served.ask(path="/health")[0] == 200
    with serve(token="open-sesame") as served:
        assert served.ask(body, Authorization="Bearer open-sesame")[0] == 200
        assert served.client(api_key="open-sesame").models.list().data


def test_an_open_address_wants_a_token(finished_run: hornbook.Run) -> None:
    with pytest.raises(ConfigError, match="HORNBOOK_TOKEN"):
        check_openness("0.0.0.0", None)
    with pytest.raises(ConfigError, match="too short"):
        check_openness("0.0.0.0", "")
    check_openness("0.0.0.0", "long enough")
    with serving(finished_run) as (_, address):
        port = int(address.rpartition(":")[2])
        with (
            pytest.raises(HornbookError, match="cannot be listened at"),
            serving(finished_run, port=port),
        ):
            pass


def until(wanted: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_full_queue_says_come_again(serve: Callable[..., Any]) -> None:
    with serve(rows=1, waiting=1, farewell=0) as served:
        first = served.begin(max_tokens=8000)
        until(lambda: served.ask(path="/health")[1]["written"] == 1)
        second = served.begin(max_tokens=8000)
        until(lambda: served.ask(path="/health")[1]["waiting"] == 1)
        status, answer, headers = served.ask({"prompt": "The"})
        assert (status, headers["retry-after"]) == (429, "1")
        assert answer["error"]["code"] == "queue_full"
        first.close()
        second.close()
        until(lambda: served.ask(path="/health")[1]["written"] == 0)
        assert served.ask({"prompt": "The", "max_tokens": 1})[0] == 200


@pytest.mark.parametrize("stream", [True, False])
def test_whoever_leaves_frees_the_rows(stream: bool, served: Any) -> None:
    leaving = served.begin(max_tokens=8000, n=5, stream=stream, prompt=["The", "A"])
    until(lambda: served.ask(path="/health")[1]["written"] == 10)
    leaving.close()
    until(lambda: served.ask(path="/health")[1]["written"] == 0)
    # Long before the texts would have been whole: ten of 8,000 tokens.
    status, answer, _ = served.ask({"prompt": "The", "max_tokens": 2})
    assert (status, answer["usage"]["completion_tokens"]) == (200, 2)


def test_more_texts_than_rows_take_turns(
    serve: Callable[..., Any], finished_run: hornbook.Run
) -> None:
    with serve(rows=3) as served:
        body = {"prompt": ["The", "A"], "n": 4, "seed": 6, "max_tokens": 7, "echo": True}
        _, answer, _ = served.ask({**body, "logprobs": 0})
    samples = [
        sample
        for prompt in ("The", "A")
        for sample in finished_run.samples(prompt, samples=4, seed=6, max_tokens=7, temperature=1)
    ]
    assert [choice["text"] for choice in answer["choices"]] == [str(each) for each in samples]


def test_a_model_that_fails_is_told_and_the_next_request_goes_on(
    served: Any, finished_run: hornbook.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    body = {"prompt": "The", "max_tokens": 3, "seed": 1}
    expected = served.ask(body)[1]["choices"]
    with monkeypatch.context() as patch:
        patch.setattr(type(finished_run.model), "hidden", broken)
        status, answer, _ = served.ask(body)
        assert (status, answer["error"]["type"]) == (500, "server_error")
    assert served.ask(body)[1]["choices"] == expected
