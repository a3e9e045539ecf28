"""A request from its order to its answer: the bridge between the engine's thread and asyncio.

    order ─► Job ─► engine (its thread) ─► queue ─► parts of choices ─► an object, or events

Whoever stops listening, for whatever reason, leaves ``parts`` and thereby gives his rows back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from hornbook.runs.run import Run
from hornbook.serving.choice import Choice, put_together
from hornbook.serving.engine import Engine, Event, Failed, Job, Scored, Written
from hornbook.serving.order import Order

DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""


class Completion:
    """One answer that is being written.

    Args:
        order: what was asked for.
        engine: who writes.
        run: whose tokenizer the texts are in.
        model: the name of the model.
    """

    def __init__(self, order: Order, engine: Engine, run: Run, model: str) -> None:
        self._order, self._engine, self._run = order, engine, run
        self._added = 0
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"step-{run.checkpoint.step}",
        }

    async def parts(self) -> AsyncGenerator[dict[str, Any]]:
        """Every part of every choice, as it comes.

        Raises:
            Refusal: the engine cannot take it on, or cannot go on.
        """
        order, queue = self._order, asyncio.Queue[list[Event]]()
        loop = asyncio.get_running_loop()

        def deliver(events: list[Event]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens
                loop.call_soon_threadsafe(queue.put_nowait, events)

        count = order.config.samples
        job = Job(
            [prompt.ids for prompt in order.prompts],
            order.config,
            deliver,
            scored=order.echo and order.logprobs is not None,
        )
        tokenizer = self._run.tokenizer
        choices = [
            Choice(index, tokenizer, order.logprobs) for index in range(len(order.prompts) * count)
        ]
        if order.echo and not job.scored:
            for index, choice in enumerate(choices):
                yield choice.echo(order.prompts[index // count], None)
        self._engine.submit(job)
        try:
            unfinished = len(choices)
            while unfinished:
                for event in await queue.get():
                    match event:
                        case Failed(refusal):
                            raise refusal
                        case Scored(number, scores):
                            for choice in choices[number * count : (number + 1) * count]:
                                yield choice.echo(order.prompts[number], scores)
                        case Written(piece):
                            self._added += len(piece.tokens)
                            unfinished -= piece.ending is not None
                            yield choices[piece.prompt * count + piece.sample].take(piece)
        finally:
            self._engine.cancel(job)

    async def whole(self) -> dict[str, Any]:
        """The answer in one object."""
        found: dict[int, list[dict[str, Any]]] = {}
        async with contextlib.aclosing(self.parts()) as parts:
            async for part in parts:
                found.setdefault(part["index"], []).append(part)
        choices = [put_together(found[index]) for index in sorted(found)]
        return {**self._head, "choices": choices, "usage": self._usage()}

    async def events(self, parts: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        """The answer in events, of the parts that ``parts`` gives."""
        async for part in parts:
            yield event({**self._head, "choices": [part]})
        if self._order.include_usage:
            yield event({**self._head, "choices": [], "usage": self._usage()})
        yield DONE

    def _usage(self) -> dict[str, int]:
        asked = sum(len(prompt.ids) for prompt in self._order.prompts)
        unknown = sum(prompt.unknown for prompt in self._order.prompts)
        return {
            "prompt_tokens": asked,
            "completion_tokens": self._added,
            "total_tokens": asked + self._added,
            **({"unknown_prompt_tokens": unknown} if unknown else {}),
        }


def event(content: dict[str, Any]) -> bytes:
    """One server-sent event.

    >>> event({"text": "é"})
    b'data: {"text": "\\\\u00e9"}\\n\\n'
    """
    return f"data: {json.dumps(content)}\n\n".encode()
