"""What the engine knows of a vocabulary: tables made once, for all threads, that never change.

    merges          u+g -> 256, h+256 -> 257

    BYTE_IDS        h: 104                      the id of a byte, here in the order of bytes
    BYTE_PAIRS      u g: 256                    the id that two bytes make
    PAIRS           u g: 256, h 256: 257        the id that two ids make
    LEFTS, RIGHTS   256: u g, 257: h 256        what an id is made of
    JOINTS          u g, h u                    bytes that stand side by side in some token
    LENGTHS         256: 2, 257: 3              how many bytes an id stands for

All fields are listed in ``workspace``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornbook.tokenizers.engine import workspace as fields
from hornbook.tokenizers.engine.cutting import PATTERNS
from hornbook.tokenizers.engine.ideographs import fill_crossed
from hornbook.tokenizers.engine.machine import address_of
from hornbook.tokenizers.engine.pairs import EMPTY, FILTER_BITS, NONE, fill_joints, fill_pairs
from hornbook.tokenizers.engine.words import byte_masks
from hornbook.tokenizers.unicode_classes import class_table


@dataclass(frozen=True)
class Vocabulary:
    """What the engine knows of a BPE vocabulary.

    Attributes:
        pattern: one of ``cutting.PATTERNS``.
        tokens: the bytes of every id that is a byte or made by a merge, in the order of ids.
        merges: int32 [merges, 2], in their order.
        byte_order: the byte of each id below 256.
    """

    pattern: str
    tokens: Sequence[bytes]
    merges: NDArray[np.int32]
    byte_order: bytes


class Tables:
    """The tables of one vocabulary, and their fields in every workspace.

    Attributes:
        vocabulary_size: how many ids are bytes or made by a merge.
        block: int64 [FIELDS], what every workspace begins with.
        content: the bytes of all tokens, end to end, and 16 more: uint8.
        ends: where each token ends in them: int64 [vocabulary].
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary_size = len(vocabulary.tokens)
        self.block = np.zeros(fields.FIELDS, dtype=np.int64)
        self._kept: list[NDArray[Any]] = []
        self.content = np.frombuffer(b"".join(vocabulary.tokens) + bytes(16), dtype=np.uint8)
        lengths = np.array([len(token) for token in vocabulary.tokens], dtype=np.int32)
        self.ends = np.cumsum(lengths, dtype=np.int64)
        byte_ids = np.empty(256, dtype=np.int32)
        byte_ids[np.frombuffer(vocabulary.byte_order, dtype=np.uint8)] = np.arange(256)
        self.block[fields.PATTERN] = PATTERNS.index(vocabulary.pattern)
        self._keep(fields.CLASSES, class_table())
        self._keep(fields.BYTE_IDS, byte_ids)
        self._keep(fields.LENGTHS, lengths)
        self._add_pairs(vocabulary.merges, byte_ids)
        joints = np.zeros(1 << 16, dtype=np.uint8)
        fill_joints(joints, self.content, self.ends)
        self._keep(fields.JOINTS, joints)
        self._keep(fields.BYTE_MASKS, byte_masks())

    def _keep(self, field: int, array: NDArray[Any]) -> None:
        self.block[field] = address_of(array)
        self._kept.append(array)

    def _add_pairs(self, merges: NDArray[np.int32], byte_ids: NDArray[np.int32]) -> None:
        halves = np.full((2, self.vocabulary_size), -1, dtype=np.int32)
        halves[:, 256 : 256 + len(merges)] = merges.T
        crossed = np.zeros(self.vocabulary_size, dtype=np.uint64)
        fill_crossed(crossed, halves, self.content, self.ends)
        self._keep(fields.CROSSED, crossed)
        self._keep(fields.LEFTS, np.ascontiguousarray(halves[0]))
        self._keep(fields.RIGHTS, np.ascontiguousarray(halves[1]))
        byte_of = np.argsort(byte_ids)
        byte_pairs = np.full(1 << 16, NONE, dtype=np.int32)
        of_bytes = (merges < 256).all(axis=1)
        left, right = byte_of[merges[of_bytes]].T
        byte_pairs[left << 8 | right] = 256 + np.flatnonzero(of_bytes)
        self._keep(fields.BYTE_PAIRS, byte_pairs)
        bits = max(10, len(merges).bit_length())
        pair_filter = np.zeros(1 << FILTER_BITS >> 6, dtype=np.uint64)
        self.block[fields.PAIR_FILTER] = address_of(pair_filter)
        while True:
            slots = (1 << bits) + 256
            pairs = np.full(slots, EMPTY, dtype=np.uint64)
            self.block[fields.PAIRS] = address_of(pairs)
            self.block[fields.PAIR_SHIFT] = 64 - bits
            if fill_pairs(address_of(self.block), merges, slots):
                break
            bits += 1
        self._keep(fields.PAIRS, pairs)
        self._keep(fields.PAIR_FILTER, pair_filter)
