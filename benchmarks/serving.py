"""A server under load: are all answers there, and the right ones; how fast; does memory grow?

    python benchmarks/serving.py RUN               # a minute with 64 clients
    python benchmarks/serving.py RUN --seconds 10 --clients 16

``hornbook serve`` runs as a process of its own. Each client asks again and again, one request in
three as a stream, with the real ``openai`` package; which request it is decides prompt, seed and
length, so the one right answer was computed beforehand by the run alone. An answer that is lost or
not the right one ends the benchmark with 1. The clients share the machine with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

import hornbook

KINDS = 96
"""Different requests; clients go through them in turn."""


@dataclass
class Tally:
    """What came back."""

    answers: int = 0
    tokens: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def settings(kind: int) -> dict[str, Any]:
    """What request number ``kind`` asks for.

    >>> settings(3)
    {'prompt': 'The river 3', 'seed': 3, 'max_tokens': 18, 'temperature': 1}
    """
    length = 8 + (kind * 37) % 101
    return {
        "prompt": f"The river {kind}",
        "seed": kind,
        "max_tokens": length,
        "temperature": kind % 2,
    }


@contextlib.contextmanager
def served(run: Path) -> Iterator[tuple[str, int]]:
    """The address of a server of its own process, and that process's number."""
    words = [sys.executable, "-m", "hornbook", "serve", str(run), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = re.search(r"http://\S+/v1", line)
            if found is None:
                raise SystemExit(f"the server did not start: {line}{process.stderr.read()}")
            yield found[0].rstrip(";"), process.pid
        finally:
            process.terminate()
            process.wait(60)


def memory(process: int) -> float:
    """What a process holds in memory [MB]; NaN where the system does not say."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return float("nan")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else float("nan")


async def ask(client: openai.AsyncOpenAI, model: str, kind: int, stream: bool) -> tuple[str, int]:
    """One answer's text, and how many tokens were written for it."""
    asked = settings(kind)
    if not stream:
        answer = await client.completions.create(model=model, **asked)
        return answer.choices[0].text, answer.usage.completion_tokens if answer.usage else 0
    parts = await client.completions.create(
        model=model, stream=True, stream_options={"include_usage": True}, **asked
    )
    text, tokens = "", 0
    async for part in parts:
        text += "".join(choice.text for choice in part.choices)
        tokens += part.usage.completion_tokens if part.usage else 0
    return text, tokens


async def load(
    address: str, model: str, expected: list[str], clients: int, seconds: float
) -> Tally:
    """Let clients ask until the time is up."""
    tally, ends = Tally(), time.monotonic() + seconds
    limits = {"base_url": address, "api_key": "any", "max_retries": 0, "timeout": 120}

    async def go(first: int) -> None:
        number = first
        async with openai.AsyncOpenAI(**limits) as client:
            while time.monotonic() < ends:
                kind, began = number % KINDS, time.monotonic()
                try:
                    text, tokens = await ask(client, model, kind, stream=number % 3 == 0)
                except openai.OpenAIError as error:
                    tally.wrong.append(f"request {kind} was lost: {error}")
                else:
                    tally.tokens += tokens
                    if text != expected[kind]:
                        tally.wrong.append(f"request {kind} got {text!r}, not {expected[kind]!r}")
                tally.answers += 1
                tally.seconds.append(time.monotonic() - began)
                number += 7

    await asyncio.gather(*map(go, range(clients)))
    return tally


def main() -> None:
    """Run the load and print what came of it."""
    parser = argparse.ArgumentParser(description="a server under load")
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    chosen = parser.parse_args()
    run = hornbook.open_run(chosen.run)
    run.sample(**settings(0))  # which also reads the weights
    alone = time.monotonic()
    samples = [run.sample(**settings(kind)) for kind in range(KINDS)]
    alone = time.monotonic() - alone
    expected = [sample.text for sample in samples]
    with served(chosen.run) as (address, process):
        warm = asyncio.run(load(address, run.name, expected, chosen.clients, chosen.seconds / 6))
        before, began = memory(process), time.monotonic()
        tally = asyncio.run(load(address, run.name, expected, chosen.clients, chosen.seconds))
        took, after = time.monotonic() - began, memory(process)
    latest = sorted(tally.seconds)
    print(f"clients         {chosen.clients}, for {took:.1f} s, and {warm.answers} answers before")
    print(f"answers         {tally.answers:,}, wrong or lost {len(tally.wrong) + len(warm.wrong)}")
    print(f"tokens/s        {tally.tokens / took:,.0f}")
    print(f"a request       {latest[len(latest) // 2]:.2f} s median, {latest[-1]:.2f} s at most")
    print(f"memory          {before:.1f} MB, and then {after:.1f} MB")
    print(f"one at a time   {KINDS / alone:.1f} requests/s, here {tally.answers / took:.1f}")
    for problem in (warm.wrong + tally.wrong)[:5]:
        print(problem, file=sys.stderr)
    raise SystemExit(1 if tally.wrong or warm.wrong else 0)


if __name__ == "__main__":
    main()
