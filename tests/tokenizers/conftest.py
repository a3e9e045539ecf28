"""Real texts and vocabularies, and the tokenizer's kernels, compiled once for all tests."""

import base64
import getpass
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO

import pytest
import tiktoken

from hornbook.cache import cache_folder
from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.formats.gpt2_files import read_gpt2
from hornbook.tokenizers.formats.tiktoken_file import ranks_of_tokenizer, read_tiktoken
from hornbook.tokenizers.patterns import PUBLISHED

if sys.platform != "win32":
    import fcntl

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real texts and published vocabularies that may stand beside the project."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared with published vocabularies and corpora, which is absent here")
    return SHARED


@pytest.fixture(scope="session")
def kernels(own_cache: None) -> None:
    """The engine's kernels, compiled: a test that asks for this never meets the readable twin.

    Compiling takes half a minute. So all workers and sessions of one person share one folder,
    whose kernels are named by a checksum of the sources, and one worker compiles at a time.
    """
    kept = Path(tempfile.gettempdir()) / f"hornbook-tests-{getpass.getuser()}" / "kernels"
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = cache_folder() / "kernels"
    own.parent.mkdir(parents=True, exist_ok=True)
    if own.is_dir() and not own.is_symlink():
        shutil.rmtree(own)  # another test of this worker has compiled some of its own
    if not own.is_symlink():
        own.symlink_to(kept)
    with (kept / "lock").open("wb") as file:
        wait_for_turn(file)
        from hornbook.tokenizers.engine.counter import Counter
        from hornbook.tokenizers.engine.trainer import learn_merges

        tokenizer = BPETokenizer([])
        tokenizer.prepare()
        tokenizer._spelled.joined(tokenizer.encode_array("e\u0301gg"))
        counter = Counter("gpt2")
        counter.add([b"egg " * 8])
        counter.merge(Counter("gpt2"))
        learn_merges(*counter.counted(), 4)


def wait_for_turn(file: IO[bytes]) -> None:
    """Wait until no other process holds the lock of a file, and hold it until it is closed."""
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX)


Published = tuple[BPETokenizer, tiktoken.Encoding]


@pytest.fixture(scope="session")
def published(shared: Path, kernels: None) -> Callable[[str], Published]:
    """A published vocabulary by its pattern's name: ours with kernels, and tiktoken's."""
    folder = shared / "vocabularies"

    @lru_cache
    def load(name: str) -> Published:
        if name == "gpt2":
            ours = read_gpt2(folder / "gpt2-vocab.json", folder / "gpt2-merges.txt")
            lines = ranks_of_tokenizer(ours)
        else:
            path = folder / f"{name}_base.tiktoken"
            ours, lines = read_tiktoken(path, name), path.read_bytes()
        pairs = (line.split() for line in lines.splitlines())
        ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
        theirs = tiktoken.Encoding(
            name, pat_str=PUBLISHED[name], mergeable_ranks=ranks, special_tokens={}
        )
        ours.prepare()
        return ours, theirs

    return load


@pytest.fixture(params=list(PUBLISHED))
def vocabulary(request: pytest.FixtureRequest, published: Callable[[str], Published]) -> Published:
    """Each published vocabulary: ours with kernels, and tiktoken's."""
    return published(request.param)
