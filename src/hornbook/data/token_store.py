"""All tokens of a corpus on disk, both sides of the split, memory-mapped.

    store/
      store.json                  what it was made from, and the counts
      training-00000.tokens       token ids, every document followed by the end token
      training-00001.tokens       ... the next shard
      training.documents          where each document ends, counted in tokens
      validation-00000.tokens, validation.documents

A ``TokenSequence`` is one side: it looks like one long array, whatever the shards.

    store = TokenStore.open(folder)
    store.training.gather(np.array([0, 7]), 5)     # two slices of five tokens
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from hornbook.data.array_file import ArrayWriter, open_array, verify_array
from hornbook.errors import DataError

Side = Literal["training", "validation"]
SIDES: tuple[Side, ...] = ("training", "validation")
STORE_VERSION = 1
SHARD_TOKENS = 1 << 28
"""Tokens in one shard: half a gigabyte at two bytes each."""
_BUFFER_TOKENS = 1 << 20


def token_width(vocab_size: int) -> int:
    """Bytes that one id of a vocabulary needs on disk: 2 up to 65,536 entries, else 4.

    >>> token_width(50257), token_width(65536), token_width(65537)
    (2, 2, 4)
    """
    return 2 if vocab_size <= 1 << 16 else 4


class TokenSequence:
    """One side of a store: a read-only sequence of token ids across shards.

    Args:
        shards: the memory-mapped shards in order.
        document_ends: [documents] ``uint64``, the index after each document's end token.
    """

    def __init__(
        self,
        shards: list[NDArray[np.unsignedinteger]],
        document_ends: NDArray[np.unsignedinteger],
    ) -> None:
        # Plain views: a memory map is a class of its own, which makes every small step slower.
        self._shards = [np.asarray(shard) for shard in shards]
        self.document_ends = document_ends
        lengths = np.array([len(shard) for shard in shards], dtype=np.int64)
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def gather(self, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Copy a slice of ``length`` tokens from each start.

        Args:
            starts: [batch] indices of the first tokens.
            length: tokens in each slice.

        Returns:
            [batch, length] ``int64``.

        Raises:
            IndexError: when a slice would leave the sequence.
        """
        return self.rows(starts, length).astype(np.int64)

    def rows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.integer]:
        """As ``gather``, in a type of the store's choice: it saves a pass over the tokens."""
        if len(starts) and (int(starts.min()) < 0 or int(starts.max()) + length > len(self)):
            raise IndexError(f"a slice of {length} tokens leaves the sequence of {len(self)}")
        if len(self._shards) == 1 and 0 < length <= len(self):
            shard = self._shards[0]
            # Every slice that there is, as a view of overlapping rows: each is copied in one go.
            slices = as_strided(shard, (len(shard) - length + 1, length), shard.strides * 2)
            return slices[starts]
        return self.take(starts[:, None] + np.arange(length, dtype=np.int64))

    def shards(self) -> Iterator[tuple[NDArray[np.unsignedinteger], int]]:
        """The shards in order, each with the place of its first token."""
        return zip(self._shards, self._starts.tolist(), strict=True)

    def take(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The token at each place: any shape of indices below ``len`` to ``int64`` of that shape.

        Raises:
            IndexError: when a place lies beyond the sequence.
        """
        if len(self._shards) == 1:
            return self._shards[0][places].astype(np.int64)
        # A slice may cross a border, so each token finds its own shard.
        gathered = np.empty(places.shape, dtype=np.int64)
        owners = np.searchsorted(self._ends, places, side="right")
        for owner in np.unique(owners):
            inside = owners == owner
            gathered[inside] = self._shards[owner][places[inside] - self._starts[owner]]
        return gathered

    def slice(self, start: int, stop: int) -> NDArray[np.int64]:
        """Tokens ``start`` up to but not including ``stop``, as ``int64`` [stop - start]."""
        return self.gather(np.array([start], dtype=np.int64), stop - start)[0]


@dataclass(frozen=True, slots=True)
class LineIds:
    """The ids of a line that are not in the store: they are added when windows are gathered.

    Attributes:
        start: stands before the first token of every line; the end token is in the store.
        pad: stands where a window reaches over an end of its line.
    """

    start: int
    pad: int


@dataclass(frozen=True)
class TokenStore:
    """A folder of tokens, opened; see the module's text for what lies in it.

    Attributes:
        folder: where it lies.
        description: the content of ``store.json``.
        training: the tokens that train.
        validation: the tokens held back.
        line_ids: the tokenizer's ids around a line, or ``None`` where no tokenizer is at hand;
            windows by line need them.
    """

    folder: Path
    description: dict
    training: TokenSequence
    validation: TokenSequence
    line_ids: LineIds | None = None

    @classmethod
    def open(cls, folder: Path) -> TokenStore:
        """Map a store into memory.

        Raises:
            DataError: when a file is missing or damaged, or the format is newer.
        """
        description = _read_description(folder)
        sides = {
            side: TokenSequence(
                [open_array(folder / name) for name in description["sides"][side]["shards"]],
                open_array(folder / f"{side}.documents"),
            )
            for side in SIDES
        }
        for side in SIDES:
            counted, found = description["sides"][side]["tokens"], len(sides[side])
            if counted != found:
                raise DataError(
                    f"{folder}: the {side} side has {found:,} tokens, store.json says {counted:,}."
                )
        return cls(folder, description, sides["training"], sides["validation"])

    @cached_property
    def fingerprint(self) -> str:
        """What the tokens were made from: corpus, split and tokenizer in one checksum."""
        return str(self.description["fingerprint"])

    def side(self, side: Side) -> TokenSequence:
        """The tokens of one side of the split."""
        return self.training if side == "training" else self.validation

    def files(self) -> list[Path]:
        """Every file of the store, for packing and for checking."""
        shards = [name for side in SIDES for name in self.description["sides"][side]["shards"]]
        documents = [f"{side}.documents" for side in SIDES]
        return [self.folder / name for name in ["store.json", *shards, *documents]]

    def verify(self) -> None:
        """Compare the checksum of every file; raises ``DataError`` at the first that differs."""
        for path in self.files():
            if path.name != "store.json":
                verify_array(path)


class TokenStoreWriter:
    """Fills a folder with both sides of a store, in one pass and bounded memory.

    with TokenStoreWriter(folder, vocab_size=300) as writer:
        writer.add("training", ids)
        writer.end_document("training")
        writer.close(fingerprint="…", sources={})
    """

    def __init__(self, folder: Path, vocab_size: int, shard_tokens: int = SHARD_TOKENS) -> None:
        self._folder = folder
        self._vocab_size = vocab_size
        self._sides = {
            side: _SideWriter(folder, side, token_width(vocab_size), shard_tokens) for side in SIDES
        }

    def add(self, side: Side, ids: NDArray[np.integer], text_bytes: int = 0) -> None:
        """Append ``ids`` ([count], each below the vocabulary's size) to one side."""
        self._sides[side].add(ids, text_bytes)

    def end_document(self, side: Side) -> None:
        """Note that the document being written ends here."""
        self._sides[side].end_document()

    def close(self, *, fingerprint: str, sources: dict[str, str]) -> None:
        """Complete every file and write ``store.json``.

        Args:
            fingerprint: what the store is recognised by.
            sources: the fingerprints it was made from, by name.
        """
        description = {
            "schema_version": STORE_VERSION,
            "fingerprint": fingerprint,
            "made_from": sources,
            "vocab_size": self._vocab_size,
            "bytes_per_token": token_width(self._vocab_size),
            "sides": {side: writer.close() for side, writer in self._sides.items()},
        }
        text = json.dumps(description, indent=2) + "\n"
        (self._folder / "store.json").write_text(text, encoding="utf-8")

    def __enter__(self) -> TokenStoreWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for writer in self._sides.values():
            writer.abandon()


class _SideWriter:
    """Buffers one side's tokens and cuts them into shards."""

    def __init__(self, folder: Path, side: Side, width: int, shard_tokens: int) -> None:
        self._folder, self._side, self._width = folder, side, width
        self._shard_tokens = shard_tokens
        self._tokens = 0
        self._text_bytes = 0
        self._pending: list[NDArray[np.integer]] = []
        self._pending_count = 0
        self._shard_names: list[str] = []
        self._shard: ArrayWriter | None = None
        self._documents = ArrayWriter(folder / f"{side}.documents", 8)
        self._pending_ends: list[int] = []

    def add(self, ids: NDArray[np.integer], text_bytes: int) -> None:
        self._pending.append(ids)
        self._pending_count += len(ids)
        self._tokens += len(ids)
        self._text_bytes += text_bytes
        if self._pending_count >= _BUFFER_TOKENS:
            self._flush()

    def end_document(self) -> None:
        self._pending_ends.append(self._tokens)
        if len(self._pending_ends) >= _BUFFER_TOKENS:
            self._flush()

    def close(self) -> dict:
        self._flush()
        if self._shard is None:  # an empty side still has one, empty, shard
            self._open_shard()
        if self._shard is not None:
            self._shard.close()
        self._documents.close()
        return {
            "tokens": self._tokens,
            "documents": self._documents.count,
            "text_bytes": self._text_bytes,
            "shards": self._shard_names,
        }

    def abandon(self) -> None:
        if self._shard is not None:
            self._shard.abandon()
        self._documents.abandon()

    def _flush(self) -> None:
        self._documents.append(np.array(self._pending_ends, dtype=np.uint64))
        self._pending_ends.clear()
        if not self._pending:
            return
        ids = np.concatenate(self._pending)
        self._pending.clear()
        self._pending_count = 0
        while len(ids):
            shard = self._open_shard()
            room = self._shard_tokens - shard.count
            shard.append(ids[:room])
            ids = ids[room:]

    def _open_shard(self) -> ArrayWriter:
        if self._shard is None or self._shard.count >= self._shard_tokens:
            if self._shard is not None:
                self._shard.close()
            name = f"{self._side}-{len(self._shard_names):05d}.tokens"
            self._shard_names.append(name)
            self._shard = ArrayWriter(self._folder / name, self._width)
        return self._shard


def _read_description(folder: Path) -> dict:
    path = folder / "store.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        version = int(description["schema_version"])
        for side in SIDES:
            names = description["sides"][side]["shards"]
            if any(Path(name).name != name for name in names):
                raise DataError(f"{path} names a shard outside its own folder; do not use it.")
    except OSError as error:
        raise DataError(f"There is no token store at {folder}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged ({error}). Delete its folder to build it anew."
        ) from error
    if version > STORE_VERSION:
        raise DataError(
            f"{path} has schema version {version}; this hornbook reads up to {STORE_VERSION}."
        )
    return description
