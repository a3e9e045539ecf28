"""Token ids in, batches out: by index, shuffled without memory, resumable to the example.

Read in this order: ``array_file`` (arrays on disk with a header and a checksum),
``overlap`` (reading ahead and writing behind), ``file_encoding`` (one text file into such
an array, and back), ``token_store`` (all tokens of a corpus, memory-mapped),
``tokenization`` (text into a store, reused by fingerprint), ``windows_reference`` (every
window strategy, slow and plain), ``windows`` (the same as an index into (line, start,
stop)), ``order`` (the stateless shuffle), ``consecutive`` (rows that read on instead),
``positions`` (what a position means), ``batch`` (what a model is given), ``numpy_gathering`` and
``kernel_gathering`` (windows gathered into tensors, plainly and fast), ``gathering`` (which of
the two), ``batches`` (by their place in the run), ``packing_reference`` and ``packing`` (many
documents in one row), ``packed_batches`` (such rows gathered), ``loader`` (batches gathered ahead),
``full_context`` (every validation token once, with all the context that fits).

Only batches need PyTorch, so they are imported at their first use: encoding a file needs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hornbook.data.file_encoding import EncodedFile, decode_file, decoded_chunks, encode_file
from hornbook.data.order import ExampleOrder
from hornbook.data.packing import PackedWindows
from hornbook.data.positions import Positions
from hornbook.data.token_store import LineIds, TokenSequence, TokenStore
from hornbook.data.tokenization import build_token_store, cached_token_store, store_fingerprint
from hornbook.data.windows import DataConfig, LineWindows, StreamWindows, Window

if TYPE_CHECKING:
    from hornbook.data.batches import Batch, EvaluationBatches, TrainingBatches
    from hornbook.data.packed_batches import PackedBatches

__all__ = [
    "Batch",
    "DataConfig",
    "EncodedFile",
    "EvaluationBatches",
    "ExampleOrder",
    "LineIds",
    "LineWindows",
    "PackedBatches",
    "PackedWindows",
    "Positions",
    "StreamWindows",
    "TokenSequence",
    "TokenStore",
    "TrainingBatches",
    "Window",
    "build_token_store",
    "cached_token_store",
    "decode_file",
    "decoded_chunks",
    "encode_file",
    "store_fingerprint",
]

_NEED_TORCH = {
    "Batch": "batches",
    "EvaluationBatches": "batches",
    "PackedBatches": "packed_batches",
    "TrainingBatches": "batches",
}


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module 'hornbook.data' has no attribute {name!r}")
    return getattr(import_module(f"hornbook.data.{_NEED_TORCH[name]}"), name)
