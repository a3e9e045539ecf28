"""Head and loss in chunks beside the plain way: time, and the memory that they take.

    python benchmarks/objective.py --threads 1

For a vocabulary of 50,257, 768 numbers a token and 12 x 1,024 tokens (fewer with ``--tokens``),
forward and backward. The plain way makes all logits and gives them to PyTorch's cross-entropy.
Loss and gradients are compared before anything is timed. Each way is measured in a process of its
own, because memory that one has taken would hide what the other needs; then in turns. Small
vocabularies come behind: there the two are the same code unless targets are padded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from hornbook.models.head import Head
from hornbook.optimization import model_loss_sum
from hornbook.optimization.model_loss import logit_rows
from hornbook.targets import IGNORED_TARGET

SMALL: tuple[tuple[int, int, int, float], ...] = (
    (65, 128, 768, 0.0),
    (2048, 128, 3072, 0.0),
    (2048, 128, 3072, 0.3),
    (8192, 384, 4096, 0.0),
    (8192, 384, 4096, 0.3),
)
"""Vocabulary, numbers a token, tokens, and the share of targets that is padding."""


class Last:
    """What of a model stands behind its features."""

    def __init__(self, vocab_size: int, width: int, device: torch.device) -> None:
        torch.manual_seed(1)
        self.vocab_size = vocab_size
        self.output = Head(width, vocab_size).to(device)
        torch.nn.init.normal_(self.output.weight, std=0.02)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.output(features)


class Case:
    """One model's end and one batch for it.

    Args:
        vocab_size, width, tokens: sizes.
        padded: the share of targets that do not count.
        device: where.
    """

    def __init__(
        self, vocab_size: int, width: int, tokens: int, padded: float, device: torch.device
    ) -> None:
        self.model = Last(vocab_size, width, device)
        self.features = torch.randn(1, tokens, width, device=device)
        targets = torch.randint(0, vocab_size, (1, tokens), device=device)
        self.targets = targets.masked_fill(
            torch.rand(1, tokens, device=device) < padded, IGNORED_TARGET
        )
        self.real = int((self.targets != IGNORED_TARGET).sum())

    def run(self, way: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The mean loss, and its gradients by the features and by the head's weight."""
        self.model.output.weight.grad = None
        features = self.features.detach().requires_grad_()
        if way == "plain":
            logits = self.model.head(features).flatten(0, 1).float()
            total = F.cross_entropy(
                logits, self.targets.flatten(), ignore_index=IGNORED_TARGET, reduction="sum"
            )
        else:
            total = model_loss_sum(
                self.model, features, self.targets, real_targets=self.real
            ).objective
        loss = total / self.real
        loss.backward()
        assert features.grad is not None
        assert self.model.output.weight.grad is not None
        return loss.detach(), features.grad, self.model.output.weight.grad

    def check(self) -> None:
        """Assert that both ways have the same loss and gradients."""
        for ours, plain in zip(self.run("chunks"), self.run("plain"), strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)

    def seconds(self, way: str, device: torch.device) -> float:
        """How long one pass takes: the processor's time on a CPU, the clock's elsewhere."""
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        began = clock()
        self.run(way)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - began


def in_own_process(way: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Time and memory of one way at the large vocabulary."""
    words = [sys.executable, __file__, "--way", way]
    for name in ("vocab", "width", "tokens", "threads", "device", "repeats"):
        words += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"seconds": float("nan"), "megabytes": float("nan")}
    return json.loads(done.stdout)


def measure_one(arguments: argparse.Namespace) -> None:
    """Measure one way and print it as JSON: the process that ``in_own_process`` starts."""
    device = torch.device(arguments.device)
    case = Case(arguments.vocab, arguments.width, arguments.tokens, 0.0, device)
    before = memory_now(device)
    times = [case.seconds(arguments.way, device) for _ in range(arguments.repeats)]
    print(json.dumps({"seconds": min(times), "megabytes": (most_memory(device) - before) / 1e6}))


def memory_now(device: torch.device) -> float:
    """What the process holds before it computes anything [bytes]."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else most_memory(device)


def most_memory(device: torch.device) -> float:
    """The most that the process has held so far [bytes]."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says begins with the parent's
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * float(lines["VmHWM"].split()[0])
    import resource  # there is none on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Compare, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--vocab", type=int, default=50_257)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=12 * 1024)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--way", choices=["plain", "chunks"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.way:
        measure_one(arguments)
        return
    device = torch.device(arguments.device)
    few = min(arguments.tokens, 2 * logit_rows(Last(arguments.vocab, 1, device), device))
    Case(arguments.vocab, arguments.width, few, 0.1, device).check()
    print(f"loss and gradients agree ({few:,} tokens)")
    print(f"{'':34}{'ours':>14}{'plain':>14}{'ours / plain':>14}")
    ours, plain = (in_own_process(way, arguments) for way in ("chunks", "plain"))
    title = f"{arguments.vocab:,} x {arguments.width}, {arguments.tokens:,} tokens"
    for name, unit in (("seconds", "s"), ("megabytes", "MB")):
        print(_line(title, ours[name], plain[name], unit))
    for vocab_size, width, tokens, padded in SMALL:
        case = Case(vocab_size, width, tokens, padded, device)
        case.check()
        turns = [(case.seconds("chunks", device), case.seconds("plain", device)) for _ in range(15)]
        least = [1e3 * min(turn[way] for turn in turns) for way in (0, 1)]
        title = f"{vocab_size:,} x {width}, {tokens:,}, {padded:.0%} padded"
        print(_line(title, least[0], least[1], "ms"))


def _line(title: str, ours: float, plain: float, unit: str) -> str:
    return f"{title:34}{ours:>11,.2f} {unit:2}{plain:>11,.2f} {unit:2}{ours / plain:>12.2f} x"


if __name__ == "__main__":
    main()
