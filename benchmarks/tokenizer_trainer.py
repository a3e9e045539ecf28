"""One training in a process of its own, so that its memory is its own too.

    python -m benchmarks.tokenizer_trainer '{"name": "rustbpe", "corpus": ..., ...}'

Reading the corpus is inside the time, importing is not. hornbook and rustbpe are given the same
blocks; Hugging Face reads the file by itself, which is a third faster for it than being given
texts. Nothing here imports what the one to be measured does not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

BLOCK = 1 << 20
"""A corpus is read in blocks of about this size, each ending with a line [bytes]."""

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's pattern without possessive quantifiers, with which rustbpe is a little faster."""

END = "<|endoftext|>"
"""The one special token; the size of the vocabulary counts it."""

Tokens: TypeAlias = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Order:
    """What to train.

    Attributes:
        name: ``hornbook``, ``rustbpe`` or ``Hugging Face``.
        corpus: the path of a text file.
        vocab_size: the entries, the special token included.
        out: where to write what it took and gave, as JSON.
    """

    name: str
    corpus: str
    vocab_size: int
    out: str

    def to_json(self) -> str:
        """Return the argument that this module is started with."""
        return json.dumps(asdict(self))


def blocks(path: str) -> Iterator[bytes]:
    """Yield a file in blocks that end with a line."""
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            yield block + file.readline()


def train_hornbook(order: Order) -> Callable[[], Tokens]:
    """Return the training with hornbook, ready to start."""
    from hornbook.tokenizers import BPETokenizer

    # What it would import at its first large text; reading compiled kernels stays inside the time.
    import_module("hornbook.tokenizers.engine.counter")
    import_module("hornbook.tokenizers.engine.trainer")

    def train() -> Tokens:
        tokenizer = BPETokenizer.train(
            blocks(order.corpus),
            vocab_size=order.vocab_size,
            pattern="gpt2",
            special_tokens=(END,),
        )
        return lambda: map(tokenizer.token_bytes, range(tokenizer.vocab_size - 1))

    return train


def train_rustbpe(order: Order) -> Callable[[], Tokens]:
    """Return the training with rustbpe, which keeps special tokens outside of its vocabulary."""
    rustbpe: Any = import_module("rustbpe")

    def train() -> Tokens:
        tokenizer = rustbpe.Tokenizer()
        strings = (block.decode("utf-8") for block in blocks(order.corpus))
        # Its buffer is counted in texts, and these are large ones.
        tokenizer.train_from_iterator(strings, order.vocab_size - 1, buffer_size=8, pattern=PATTERN)
        return lambda: (bytes(token) for token, _ in tokenizer.get_mergeable_ranks())

    return train


def train_huggingface(order: Order) -> Callable[[], Tokens]:
    """Return the training with Hugging Face's ``tokenizers``, whose default pattern is GPT-2's."""
    library: Any = import_module("tokenizers")

    def train() -> Tokens:
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = library.trainers.BpeTrainer(
            vocab_size=order.vocab_size,
            special_tokens=[END],
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train([order.corpus], trainer)
        return lambda: _spelled(name for name in tokenizer.get_vocab() if name != END)

    return train


TRAINERS: dict[str, Callable[[Order], Callable[[], Tokens]]] = {
    "hornbook": train_hornbook,
    "rustbpe": train_rustbpe,
    "Hugging Face": train_huggingface,
}
"""Who can be measured."""


def _spelled(names: Iterable[str]) -> Iterable[bytes]:
    from hornbook.tokenizers.formats.byte_alphabet import byte_alphabet

    byte_of = {character: byte for byte, character in byte_alphabet().items()}
    return (bytes(byte_of[sign] for sign in name) for name in names)


def peak_memory() -> float:
    """Return the most memory this process has held at once [units of 1,000,000 bytes]."""
    try:
        # ``getrusage`` also counts what the parent held when it started this program.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024 / 1e6


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    train = TRAINERS[order.name](order)
    began = time.perf_counter()
    tokens = train()
    took = time.perf_counter() - began
    told = {"seconds": took, "peak": peak_memory(), "tokens": [one.hex() for one in tokens()]}
    Path(order.out).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
