"""Token ids in, batches out: by index, shuffled without memory, resumable to the example.

Read in this order: ``array_file`` (arrays on disk with a header and a checksum),
``token_store`` (all tokens of a corpus, memory-mapped), ``tokenization`` (text into a
store, reused by fingerprint), ``windows`` (an index into (line, start, stop)), ``order``
(the stateless shuffle), ``batches`` (windows gathered into tensors).
"""

from hornbook.data.batches import Batch, EvaluationBatches, TrainingBatches
from hornbook.data.order import ExampleOrder
from hornbook.data.token_store import TokenSequence, TokenStore
from hornbook.data.tokenization import build_token_store, cached_token_store, store_fingerprint
from hornbook.data.windows import DataConfig, StreamWindows, Window

__all__ = [
    "Batch",
    "DataConfig",
    "EvaluationBatches",
    "ExampleOrder",
    "StreamWindows",
    "TokenSequence",
    "TokenStore",
    "TrainingBatches",
    "Window",
    "build_token_store",
    "cached_token_store",
    "store_fingerprint",
]
