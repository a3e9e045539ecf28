"""Tokens per second: hornbook's sampler beside a loop without a cache and beside transformers.

    pip install -e '.[bench]'
    python benchmarks/generation.py --threads 1
    python benchmarks/generation.py --shape small --rows 1 --rounds 9
    python benchmarks/generation.py --shape small --compile

Both are in GPT-2's form, with the same weights, greedy, from the same prompt; ids are asserted
equal before anything is timed. All take turns in one process, and the quickest round counts,
by the processor's time on a CPU, so that neighbours disturb as little as they can. ``own form``
is the preset ``small`` as it is, which transformers does not have. ``--compile`` adds compiled
steps in float32 and bfloat16; compiling happens before anything is timed, while recording CUDA
graphs, which every text does anew, is timed with it.

On a GPU the last column is how much of the memory's bandwidth is used: bytes of weights and cache
that a token needs, over the bandwidth, which is measured by copying.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Beside this file stands one with the name of a package that transformers needs.
sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p).resolve() != ROOT / "benchmarks")]

import torch  # noqa: E402

from benchmarks.gpt2_form import build_ours, build_theirs  # noqa: E402
from hornbook.generation import SamplingConfig, generate_tokens  # noqa: E402
from hornbook.listener import Listener  # noqa: E402
from hornbook.models import (  # noqa: E402
    LanguageModel,
    TransformerConfig,
    build_model,
    quantise,
    with_compiled_step,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model, and how many tokens a round adds to a prompt."""

    layers: int
    heads: int
    width: int
    context: int
    vocab: int
    prompt: int
    tokens: int
    uncached: int


SHAPES = {
    "small": Shape(4, 4, 128, 128, 2048, prompt=16, tokens=96, uncached=8),
    "gpt2": Shape(12, 12, 768, 1024, 50257, prompt=32, tokens=32, uncached=1),
}
BYTES = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0}
"""Of a weight."""

Loop = Callable[[int], list[list[int]]]
"""Adds so many tokens to the prompts; for each step the ids of all rows."""


class Printer(Listener):
    """Says why a step is not compiled."""

    def notice(self, text: str) -> None:
        print(f"  {text}", flush=True)


def our_loop(model: LanguageModel, prompt: list[int], rows: int, *, state: bool = True) -> Loop:
    def loop(tokens: int) -> list[list[int]]:
        config = SamplingConfig(max_tokens=tokens, temperature=0, samples=rows)
        return list(generate_tokens(model, prompt, config, use_state=state))

    return loop


def their_loop(model: Any, prompt: list[int], rows: int) -> Loop:
    def loop(tokens: int) -> list[list[int]]:
        with torch.inference_mode():
            found = model.generate(
                torch.tensor([prompt] * rows, device=model.device),
                attention_mask=torch.ones(rows, len(prompt), device=model.device),
                do_sample=False,
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                use_cache=True,
                pad_token_id=0,
            )
        return found[:, len(prompt) :].T.tolist()

    return loop


def clock(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(
    loops: dict[str, tuple[Loop, int]], rounds: int, device: torch.device
) -> dict[str, float]:
    """Seconds a step of each loop: that of the quickest of ``rounds`` in which they take turns."""
    best = dict.fromkeys(loops, float("inf"))
    for _ in range(rounds):
        for name, (loop, tokens) in loops.items():
            loop(1)  # a virtual machine may have taken back what lay idle in other turns
            began = clock(device)
            loop(tokens)
            best[name] = min(best[name], (clock(device) - began) / tokens)
    return best


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.empty(1 << 29, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(10):
        began = clock(device)
        target.copy_(source)
        best = min(best, clock(device) - began)
    return 2 * source.nbytes / best


def bytes_a_step(shape: Shape, bytes_a_weight: float, rows: int) -> float:
    """Weights that a step reads, and the keys and values of the tokens it looks back at."""
    weights = 12 * shape.layers * shape.width**2 + shape.vocab * shape.width
    seen = shape.prompt + shape.tokens / 2
    return weights * bytes_a_weight + rows * 2 * shape.layers * shape.width * seen * 4


def run(name: str, rows: int, rounds: int, device: torch.device, *, compiled: bool = False) -> None:
    shape = SHAPES[name]
    sizes = shape.layers, shape.heads, shape.width
    ours = build_ours(*sizes, context=shape.context, vocab=shape.vocab).eval().to(device)
    theirs: Any = build_theirs(ours, *sizes).eval()
    theirs.to(device)
    prompt = [(7 * n) % shape.vocab for n in range(shape.prompt)]
    peer = their_loop(theirs, prompt, rows)
    expected = peer(shape.tokens)
    # Without a cache, a token costs what its window does: that of a text half written.
    middle = prompt + [row[0] for row in expected[: shape.tokens // 2]]
    laid_out = quantise(ours, "float32")
    assert our_loop(laid_out, prompt, rows)(shape.tokens) == expected, "ids differ"
    loops: dict[str, tuple[Loop, int]] = {
        "no cache": (our_loop(ours, middle, rows, state=False), shape.uncached),
        "transformers": (peer, shape.tokens),
        "float32": (our_loop(laid_out, prompt, rows), shape.tokens),
    }
    for kind in ("bfloat16", "int8"):
        loops[kind] = our_loop(quantise(ours, kind), prompt, rows), shape.tokens
    if compiled:
        listener = Printer()
        # A copy for each: a step belongs to the model that takes it.
        for kind in ("float32", "bfloat16"):
            model = with_compiled_step(quantise(ours, kind), listener)
            if model.own_step is None:
                continue
            loop = our_loop(model, prompt, rows)
            found_ids = loop(shape.tokens)
            assert kind != "float32" or found_ids == expected, "ids differ"
            loops[f"{kind}, compiled"] = loop, shape.tokens
    if name == "small":
        config = TransformerConfig(layers=shape.layers, heads=shape.heads, d_model=shape.width)
        own = build_model(config, vocab_size=shape.vocab, context_length=shape.context, seed=1)
        loops["own form"] = our_loop(own.to(device), prompt, rows), shape.tokens
    found = measure(loops, rounds, device)
    most = bandwidth(device) if device.type == "cuda" else None
    print(f"\n{name}, {rows} row(s), {shape.prompt} tokens of prompt and {shape.tokens} more")
    for label, seconds in found.items():
        line = f"  {label:18} {rows / seconds:10,.0f} tokens/s"
        line += f" {found['transformers'] / seconds:8.2f} × transformers"
        line += f" {found['no cache'] / seconds:8.2f} × no cache"
        kind = label.partition(",")[0]
        if most is not None and kind in BYTES:
            size = BYTES[kind]
            line += f" {bytes_a_step(shape, size, rows) / seconds / most:7.0%} of the bandwidth"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", choices=[*SHAPES], action="append")
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="compiled steps as well")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{given.threads} thread(s), {given.device}, greedy")
    for name in given.shape or SHAPES:
        for rows in given.rows or (1, 16):
            run(name, rows, given.rounds, torch.device(given.device), compiled=given.compile)


if __name__ == "__main__":
    main()
