"""Counting on a ray cluster: the local result, and errors that name the shard."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from awkward_texts import CORPUS

from hornbook.errors import CorpusError, TokenizerError
from hornbook.listener import Listener, Progress
from hornbook.tokenizers.bpe_reference import count_pre_tokens
from hornbook.tokenizers.cluster_counting import Shard, count_on_cluster
from hornbook.tokenizers.counts import PreTokenCounts
from hornbook.tokenizers.patterns import splitter

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the extra ray, which is not installed"
)


def count(texts: Iterable[str | bytes]) -> PreTokenCounts:
    """The readable twin as what counts a shard."""
    known = [text for text in texts if isinstance(text, str)]
    size = sum(len(text.encode()) for text in known)
    counted = count_pre_tokens(known, splitter("gpt2"))
    return PreTokenCounts.from_mapping(counted, "gpt2", texts=len(known), text_bytes=size)


def unreadable(place: str) -> Iterator[str]:
    yield "a beginning"
    raise CorpusError(f"{place}: cannot be read")


def mistaken() -> list[str]:
    raise ZeroDivisionError("a bug")


def dying() -> list[str]:
    os._exit(1)


class Watching(Listener):
    def __init__(self) -> None:
        self.told: list[tuple[str, int | None, str]] = []
        self.done = 0

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        self.told.append((title, total, unit))
        watching = self

        class Adding(Progress):
            def advance(self, amount: int) -> None:
                watching.done += amount

        return Adding()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two cores on this machine, whose workers find this file's functions."""
    import ray  # pyright: ignore[reportMissingImports]
    from ray import cloudpickle  # pyright: ignore

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        object_store_memory=100 * 2**20,
    )
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield ray
    ray.shutdown()


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense"])
def test_a_cluster_that_is_not_there_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # whatever other tests have begun
    with pytest.raises(TokenizerError, match=f"no ray cluster at {address} answers"):
        count_on_cluster([Shard("a", list, (CORPUS,))], count, address=address)


@needs_ray
@pytest.mark.parametrize("shard_count", [1, 2, 7, 20])
def test_the_cluster_counts_what_one_machine_counts(
    cluster: Any, shard_count: int, tmp_path: Path
) -> None:
    texts = [f"{text} {number % 9}" for number, text in enumerate(CORPUS * 20)]
    shards = [Shard(f"part {n}", list, (texts[n::shard_count],)) for n in range(shard_count)]
    watching = Watching()
    counts = count_on_cluster(iter(shards), count, total=shard_count, listener=watching)
    assert counts == count(texts)
    assert watching.told == [("counting on the cluster", shard_count, "shards")]
    assert watching.done == shard_count
    assert cluster.is_initialized()
    counts.save(tmp_path / "cluster.parquet")
    count(texts).save(tmp_path / "here.parquet")
    assert (tmp_path / "cluster.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()


@needs_ray
@pytest.mark.usefixtures("cluster")
def test_shards_without_text_add_nothing() -> None:
    empty, full = Shard("empty", list, (["", ""],)), Shard("full", list, (CORPUS,))
    assert count_on_cluster([empty, full, empty], count) == count(CORPUS)
    with pytest.raises(TokenizerError, match="the corpus is empty"):
        count_on_cluster([empty], count)
    with pytest.raises(TokenizerError, match="the corpus is empty"):
        count_on_cluster([], count)


@needs_ray
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("shard", "said"),
    [
        (Shard("b.txt", unreadable, ("b.txt",)), "b.txt could not be counted: b.txt: cannot be"),
        (Shard("c.txt", mistaken), "c.txt could not be counted: ZeroDivisionError: a bug"),
        (Shard("d.txt", dying), "d.txt could not be counted: WorkerCrashedError"),
    ],
)
def test_a_shard_that_fails_is_named(shard: Shard, said: str) -> None:
    good = Shard("a.txt", list, (CORPUS,))
    with pytest.raises(TokenizerError, match=f"shard {said}"):
        count_on_cluster([good, shard, good], count)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TokenizerError, match=r"pip install 'hornbook\[ray\]'"):
        count_on_cluster([Shard("a", list, (CORPUS,))], count)
