"""From the words of a command to the counts of a corpus: read here, or on a cluster.

Both ways read the same documents and count them with the same function, so they give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hornbook.cli.words import sort_words
from hornbook.errors import CorpusError, HornbookError
from hornbook.listener import SILENT, Listener, Progress

if TYPE_CHECKING:
    from hornbook.corpora import Corpus, CorpusConfig
    from hornbook.corpora.streams import Reading
    from hornbook.tokenizers.cluster_counting import Shard
    from hornbook.tokenizers.counts import PreTokenCounts

SLICE = 1 << 25
"""How much of one large source is counted by one task of a cluster [bytes]."""


@dataclass(frozen=True, slots=True)
class CountingPlan:
    """How a corpus is to be counted.

    Attributes:
        pattern: what cuts the text.
        special_tokens: the names at which it is cut before.
        threads: how many threads count; as many as there are cores if None.
        max_memory: what the counts may take, for each shard on a cluster [bytes].
        on_cluster: whether ray counts instead of this process.
        address: where the cluster is; see ``count_on_cluster``.
    """

    pattern: str
    special_tokens: tuple[str, ...]
    threads: int | None = None
    max_memory: int | None = None
    on_cluster: bool = False
    address: str | None = None


def count_corpus(words: Sequence[str], plan: CountingPlan, listener: Listener) -> PreTokenCounts:
    """Count the pre-tokens of everything that ``words`` name.

    Args:
        words: what ``hornbook train`` takes: files, folders, globs, addresses and names of
            corpora, and settings such as ``corpus.field=body``.
        plan: how it is counted.
        listener: is told how far it is, in bytes as they are stored.

    Raises:
        HornbookError: the words name no text, it cannot be read or counted, or it is empty.
    """
    from hornbook.tokenizers.counting import count_pre_tokens

    corpus = open_corpus(words, listener)
    count: Callable[..., PreTokenCounts] = partial(
        count_pre_tokens,
        pattern=plan.pattern,
        special_tokens=plan.special_tokens,
        max_memory=plan.max_memory,
    )
    if plan.on_cluster:
        counts = _count_on_cluster(corpus, plan, partial(count, threads=1), listener)
        tell_of_long(counts, listener)  # the machines of the cluster tell nobody
        return counts
    with _reading(corpus, plan.pattern, listener) as texts:
        return count(texts, threads=plan.threads, listener=_NoticesOnly(listener))


def open_corpus(words: Sequence[str], listener: Listener) -> Corpus:
    """Open the corpus that words name; settings among them must be those of the corpus.

    Raises:
        HornbookError: no text is named, or a setting is another room's or cannot be used.
    """
    from hornbook.corpora import Corpus, CorpusConfig

    files, overrides = sort_words(words)
    foreign = [word for word in overrides if not word.startswith("corpus.")]
    if foreign:
        raise HornbookError(
            f"{foreign[0]}: only settings of the corpus can stand here, such as "
            "corpus.field=body; what else there is are the options of this command."
        )
    if not files:
        raise HornbookError(
            "Name the text: files, folders, globs, addresses, names of corpora, or - for "
            "standard input."
        )
    config = CorpusConfig(files=tuple(files))
    if overrides:
        # Everything a run can have is looked through for a misspelled key; that loads PyTorch.
        from hornbook.runs.resolution import resolve

        config = resolve(overrides=overrides).corpus.model_copy(update={"files": config.files})
    return Corpus.open(config, listener=listener)


def _count_on_cluster(
    corpus: Corpus,
    plan: CountingPlan,
    count: Callable[..., PreTokenCounts],
    listener: Listener,
) -> PreTokenCounts:
    """Give each file to a task that reads it itself; read a single one here, and deal it out."""
    from hornbook.corpora.sources import find_sources
    from hornbook.tokenizers.cluster_counting import Shard, count_on_cluster

    _, sources = find_sources(corpus.config.files, SILENT)
    first, *others = sources
    if others:
        shards = [
            Shard(
                source.name,
                texts_of_shard,
                (corpus.config.model_copy(update={"files": (source.location,)}), plan.pattern),
            )
            for source in sources
        ]
        return count_on_cluster(
            shards, count, address=plan.address, total=len(shards), listener=listener
        )
    with _reading(corpus, plan.pattern, listener) as texts:
        shards = dealt_out(first.name, texts, SLICE)
        return count_on_cluster(
            shards, count, address=plan.address, listener=_NoticesOnly(listener)
        )


def tell_of_long(counts: PreTokenCounts, listener: Listener) -> None:
    """Give notice of pre-tokens that are too long to be words; counting here does so itself."""
    if (long := counts.long_pre_tokens()) is not None:
        listener.notice(str(long))


def texts_of_shard(config: CorpusConfig, pattern: str) -> Iterator[str | bytes]:
    """Yield the texts of one file of a corpus, on whatever machine counts it.

    A file of nothing but white space has none: only a whole corpus must hold text.

    Raises:
        CorpusError: the file cannot be read.
    """
    from hornbook.corpora import Corpus
    from hornbook.corpora.streams import Reading, byte_chunks

    found = False
    try:
        for text in _texts(Corpus.open(config), pattern, Reading()):
            found = True
            yield text
    except CorpusError:
        (location,) = config.files
        if found or not all(chunk.isspace() for chunk in byte_chunks(location)):
            raise


def dealt_out(name: str, texts: Iterable[str | bytes], size: int) -> Iterator[Shard]:
    """Deal out a stream of texts into shards of at least ``size`` bytes, or characters.

    >>> [shard.arguments for shard in dealt_out("a.txt", ["to be", "or", "not"], size=6)]
    [(['to be', 'or'],), (['not'],)]
    """
    from hornbook.tokenizers.cluster_counting import Shard

    number, together, length = 1, [], 0
    for text in texts:
        together.append(text)
        length += len(text)
        if length >= size:
            yield Shard(f"{name}, slice {number}", list, (together,))
            number, together, length = number + 1, [], 0
    if together:
        yield Shard(f"{name}, slice {number}", list, (together,))


@contextmanager
def _reading(corpus: Corpus, pattern: str, listener: Listener) -> Iterator[Iterator[str | bytes]]:
    """Give the texts of a corpus, while the listener is told of the bytes that are read."""
    from hornbook.corpora.streams import Reading

    title = "counting pre-tokens"
    with listener.progress(title, total=corpus.size, unit="B") as progress:
        yield _texts(corpus, pattern, Reading(progress))


def _texts(corpus: Corpus, pattern: str, reading: Reading) -> Iterator[str | bytes]:
    """Yield the documents, as they are stored where the pattern cuts parts as it does wholes."""
    from hornbook.tokenizers.patterns import PUBLISHED

    if pattern in PUBLISHED or pattern == "words":
        return corpus.contents(reading)
    return (document.text for document in corpus.read(reading))


class _NoticesOnly(Listener):
    """Passes on what is said; how far the reading is, is told by the reading itself."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def notice(self, text: str) -> None:
        self._listener.notice(text)

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        return Progress()
