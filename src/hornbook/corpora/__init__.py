"""The room where text enters: files, folders, streams and names become documents and splits.

    config = CorpusConfig(files=("tinyshakespeare",))
    split = split_corpus(Corpus.open(config), seed=1)
    for side, document in split.assigned():
        ...

Everything is streamed; memory does not grow with the corpus, but for 16 bytes a document
while it is split. This room knows nothing of tokens.
"""

from hornbook.corpora.corpus import Corpus, CorpusConfig
from hornbook.corpora.documents import Document
from hornbook.corpora.named import NAMED_CORPORA, NamedCorpus, cached_file, fetch, is_cached
from hornbook.corpora.splits import CorpusSplit, Side, SideFacts, SplitFacts, split_corpus

__all__ = [
    "NAMED_CORPORA",
    "Corpus",
    "CorpusConfig",
    "CorpusSplit",
    "Document",
    "NamedCorpus",
    "Side",
    "SideFacts",
    "SplitFacts",
    "cached_file",
    "fetch",
    "is_cached",
    "split_corpus",
]
