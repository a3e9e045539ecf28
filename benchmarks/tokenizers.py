"""hornbook's tokenizer beside every native one: equal ids first, then medians of one run.

    pip install -e '.[bench]'
    python benchmarks/tokenizers.py                 # everything; writes docs/performance.md
    python benchmarks/tokenizers.py --quick         # a few seconds, writes nothing
    python benchmarks/tokenizers.py --only gpt2 training

Peers that are not installed are left out and named; tiktoken is needed, since every encoder's ids
are compared with its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# This file has the name of a peer's package, so its folder must not be searched for modules.
sys.path[:] = [str(ROOT), *(p for p in sys.path if Path(p).resolve() != ROOT / "benchmarks")]
# Pools of threads are made on import, as large as the machine unless told otherwise.
os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

from benchmarks import tokenizer_calls as calls  # noqa: E402
from benchmarks.tokenizer_encoding import encode_adversarial, encode_corpora  # noqa: E402
from benchmarks.tokenizer_peers import DISTRIBUTIONS, installed  # noqa: E402
from benchmarks.tokenizer_report import write_report  # noqa: E402
from benchmarks.tokenizer_rows import Row, line  # noqa: E402
from benchmarks.tokenizer_texts import CORPORA, Bench  # noqa: E402
from benchmarks.tokenizer_training import train  # noqa: E402

SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "training": train,
    "gpt2": partial(encode_corpora, vocabulary="gpt2"),
    "cl100k": partial(encode_corpora, vocabulary="cl100k"),
    "o200k": partial(encode_corpora, vocabulary="o200k"),
    "short": calls.encode_short,
    "disk": calls.encode_to_disk,
    "threads": calls.encode_threads,
    "decoding": calls.decode,
    "adversarial": encode_adversarial,
}
"""What can be measured, in the order in which it is."""

QUICK_LIMIT = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = ROOT.parent / "shared"
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="200 kB of each text, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--corpora", type=Path, default=shared / "corpora")
    parser.add_argument("--vocabularies", type=Path, default=shared / "vocabularies")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction, default=None)
    given = parser.parse_args()
    if not any((given.corpora / name).is_file() for name in CORPORA):
        parser.error(f"{given.corpora} holds none of {', '.join(CORPORA)}; give --corpora")
    if not installed("tiktoken"):
        parser.error("tiktoken is needed, to compare ids with; pip install -e '.[bench]'")
    for peer, distribution in DISTRIBUTIONS.items():
        if not installed(peer):
            print(f"left out: {peer}; pip install {distribution}")

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as aside:
        bench = Bench(
            given.corpora,
            given.vocabularies,
            Path(aside),
            rounds=1 if given.quick else given.rounds,
            limit=QUICK_LIMIT if given.quick else None,
        )
        for name in given.only:
            section = ""
            for row in SECTIONS[name](bench):
                if row.section != section:
                    section = row.section
                    print(f"\n{section}")
                print(line(row), flush=True)
                rows.append(row)

    whole = not given.quick and set(given.only) == set(SECTIONS)
    if whole if given.write is None else given.write:
        page, plot = ROOT / "docs/performance.md", ROOT / "docs/figures/tokenizer-speed.svg"
        write_report(rows, page, plot)
        print(f"\nwritten: {page}, {plot}")


if __name__ == "__main__":
    main()
