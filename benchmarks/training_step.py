"""One training step in GPT-2's form: hornbook beside transformers, same weights, same batch.

    pip install -e '.[bench]'
    python benchmarks/training_step.py --threads 1

Prints the median time of a whole step (forward, backward, clipping, AdamW) of both and the
ratio, from one run in which they take turns. Losses are asserted equal before timing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Beside this file stands one with the name of a package that transformers needs.
sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p).resolve() != ROOT / "benchmarks")]

import torch  # noqa: E402

from benchmarks.gpt2_form import build_ours, build_theirs  # noqa: E402
from hornbook.data import Batch  # noqa: E402
from hornbook.optimization import OptimizerConfig, build_optimizer  # noqa: E402
from hornbook.runs.config import RunConfig  # noqa: E402
from hornbook.training.equipment import choose_equipment, make_step  # noqa: E402
from hornbook.training.step import read  # noqa: E402

VOCAB = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    ours = build_ours(given.layers, given.heads, given.width, context=given.context, vocab=VOCAB)
    theirs = build_theirs(ours, given.layers, given.heads, given.width)
    ids = torch.randint(0, VOCAB, (given.batch, given.context + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    batch = Batch(inputs, targets, targets.numel())
    plain = RunConfig()
    optimizer = build_optimizer(ours, OptimizerConfig(), 1e-3)
    take_step = make_step(plain, choose_equipment(plain), ours, optimizer)
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, fused=True)

    def our_step() -> float:
        return read([take_step([batch], learning_rate=1e-3, dropout_seed=1)])[0].loss

    def their_step() -> float:
        logits = theirs(inputs, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        their_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        their_optimizer.step()
        return loss.item()

    first = our_step(), their_step()
    assert abs(first[0] - first[1]) < 1e-4, f"the losses differ: {first}"
    times: dict[Callable[[], float], list[float]] = {our_step: [], their_step: []}
    for _ in range(given.rounds):
        for step, measured in times.items():
            began = time.perf_counter()
            step()
            measured.append(time.perf_counter() - began)
    mine, peer = (statistics.median(measured) for measured in times.values())
    tokens = given.batch * given.context
    print(f"{tokens} tokens a step, {given.threads} thread(s), losses equal: {first[0]:.6f}")
    print(f"hornbook      {1000 * mine:8.1f} ms {tokens / mine:10,.0f} tokens/s")
    print(f"transformers  {1000 * peer:8.1f} ms {tokens / peer:10,.0f} tokens/s")
    print(f"ratio         {peer / mine:8.2f} ×")


if __name__ == "__main__":
    main()
