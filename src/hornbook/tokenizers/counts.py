"""How often each pre-token occurs: what is left of a corpus once it has been read.

Merges are learned from these counts alone, so the text can be counted in pieces, on several
machines, and put together later:

    here = count_pre_tokens(texts, "gpt2")
    here.save("counts.parquet")
    both = PreTokenCounts.merged([here, PreTokenCounts.load("elsewhere.parquet")])

The pre-tokens stand in the order of their bytes and each stands there once. So counts of one
text are equal, and so are their files, however it was cut and wherever it was counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hornbook.errors import TokenizerError
from hornbook.tokenizers.byte_sort import (
    Content,
    Places,
    gather,
    lengths_of,
    sort_stretches,
)
from hornbook.tokenizers.counts_file import (
    CountsFacts,
    StoredCounts,
    read_counts,
    write_counts,
)

LONG_PRE_TOKEN = 1000
"""A longer pre-token is hardly a word: encoded data, minified code, a script without spaces
[bytes]."""
_SHOWN = 40
"""How much of a long pre-token is shown [bytes]."""


@dataclass(frozen=True, slots=True)
class LongPreTokens:
    """The pre-tokens of a corpus that are longer than ``limit`` bytes.

    Attributes:
        limit: what counts as long [bytes].
        distinct: how many different ones there are.
        occurrences: how often they occur altogether.
        share: their part of all bytes of the corpus [0 to 1].
        example: how the shortest of them begins, at most 40 bytes.
    """

    limit: int
    distinct: int
    occurrences: int
    share: float
    example: bytes

    def __str__(self) -> str:
        """Say it as a warning to the person who trains on them.

        >>> print(LongPreTokens(1000, 2, 5, 0.125, b"iVBORw0KGgo"))
        2 pre-tokens are longer than 1,000 bytes (5 occurrences, 12.50% of the bytes), such as \
'iVBORw0KGgo...': encoded data or minified code? Training on them is slow and gives tokens that \
occur nowhere else; consider leaving them out of the corpus
        """
        one = self.distinct == 1
        return (
            f"{self.distinct:,} pre-token{' is' if one else 's are'} longer than {self.limit:,} "
            f"bytes ({self.occurrences:,} occurrence{'' if self.occurrences == 1 else 's'}, "
            f"{self.share:.2%} of the bytes), such as "
            f"'{self.example.decode('utf-8', 'replace')}...': encoded data or minified code? "
            "Training on them is slow and gives tokens that occur nowhere else; consider leaving "
            "them out of the corpus"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PreTokenCounts:
    """Each different pre-token of a corpus, in the order of bytes, and how often it occurs.

    The constructor trusts its caller; ``from_arrays`` and ``from_mapping`` bring entries into
    the order.

    Attributes:
        content: all different pre-tokens put end to end, uint8 [bytes].
        ends: where each ends in ``content``, int64 [pre-tokens].
        counts: how often each occurs, from 1, int64 [pre-tokens].
        pattern: what cut the text; see ``patterns.splitter``.
        special_tokens: the names at which the text was cut before, and which are not counted.
        dropped: occurrences that were forgotten because memory was limited.
        texts: how many texts were read.
        text_bytes: how long they were altogether [bytes].
    """

    content: Content
    ends: Places
    counts: Places
    pattern: str
    special_tokens: tuple[str, ...] = ()
    dropped: int = 0
    texts: int = 0
    text_bytes: int = 0

    @classmethod
    def from_arrays(
        cls,
        content: Content,
        ends: Places,
        counts: Places,
        pattern: str,
        special_tokens: Sequence[str] = (),
        *,
        dropped: int = 0,
        texts: int = 0,
        text_bytes: int = 0,
    ) -> PreTokenCounts:
        """Sort entries that come in any order; equal pre-tokens become one entry.

        Args and dtypes are those of the attributes.
        """
        order, new = sort_stretches(content, ends)
        summed = np.add.reduceat(counts[order], np.flatnonzero(new)) if len(order) else counts
        content, ends = gather(content, ends, order[new])
        return cls(
            content, ends, summed, pattern, tuple(special_tokens), dropped, texts, text_bytes
        )

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[bytes, int],
        pattern: str,
        special_tokens: Sequence[str] = (),
        *,
        dropped: int = 0,
        texts: int = 0,
        text_bytes: int = 0,
    ) -> PreTokenCounts:
        """Take counts out of a mapping.

        >>> list(PreTokenCounts.from_mapping({b"to": 2, b"be": 2, b"or": 1}, "gpt2"))
        [(b'be', 2), (b'or', 1), (b'to', 2)]
        """
        return cls.from_arrays(
            np.frombuffer(b"".join(mapping), dtype=np.uint8),
            np.cumsum([len(pre_token) for pre_token in mapping], dtype=np.int64),
            np.array(list(mapping.values()), dtype=np.int64),
            pattern,
            special_tokens,
            dropped=dropped,
            texts=texts,
            text_bytes=text_bytes,
        )

    def __len__(self) -> int:
        """Return how many different pre-tokens there are."""
        return len(self.ends)

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """Yield (pre-token, count) in the order of bytes."""
        view = self.content.data
        begin = 0
        for end, count in zip(self.ends.tolist(), self.counts.tolist(), strict=True):
            yield bytes(view[begin:end]), count
            begin = end

    def pre_token(self, number: int) -> bytes:
        """Return one pre-token by its place in the order of bytes, from 0.

        >>> PreTokenCounts.from_mapping({b"to": 2, b"be": 2, b"or": 1}, "gpt2").pre_token(1)
        b'or'
        """
        begin = int(self.ends[number - 1]) if number else 0
        return self.content[begin : self.ends[number]].tobytes()

    def to_mapping(self) -> dict[bytes, int]:
        """Return the counts as a mapping, in the order of bytes.

        >>> PreTokenCounts.from_mapping({b"to": 2, b"be": 2}, "gpt2").to_mapping()
        {b'be': 2, b'to': 2}
        """
        return dict(self)

    @property
    def total(self) -> int:
        """How often all pre-tokens occur altogether."""
        return int(self.counts.sum())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PreTokenCounts):
            return NotImplemented
        return self._facts() == other._facts() and all(
            np.array_equal(mine, others)
            for mine, others in (
                (self.ends, other.ends),
                (self.counts, other.counts),
                (self.content, other.content),
            )
        )

    def __repr__(self) -> str:
        return f"PreTokenCounts({len(self):,} different of {self.total:,}, {self.pattern!r})"

    def _facts(self) -> tuple[object, ...]:
        cut = (self.pattern, self.special_tokens)
        return (*cut, self.dropped, self.texts, self.text_bytes)

    def long_pre_tokens(self, limit: int = LONG_PRE_TOKEN) -> LongPreTokens | None:
        """Return what is known of the pre-tokens longer than ``limit`` bytes; None without any.

        >>> counts = PreTokenCounts.from_mapping({b"egg": 2, b"eggs": 1, b"e": 2}, "gpt2")
        >>> counts.long_pre_tokens(limit=2)
        LongPreTokens(limit=2, distinct=2, occurrences=3, share=0.8333333333333334, example=b'egg')
        """
        lengths = lengths_of(self.ends)
        long = np.flatnonzero(lengths > limit)
        if not long.size:
            return None
        shortest = int(long[np.argmin(lengths[long])])
        begin = int(self.ends[shortest] - lengths[shortest])
        end = min(begin + _SHOWN, int(self.ends[shortest]))
        return LongPreTokens(
            limit=limit,
            distinct=long.size,
            occurrences=int(self.counts[long].sum()),
            share=float(np.dot(lengths[long], self.counts[long]) / np.dot(lengths, self.counts)),
            example=self.content[begin:end].tobytes(),
        )

    @classmethod
    def merged(cls, parts: Iterable[PreTokenCounts], names: Sequence[str] = ()) -> PreTokenCounts:
        """Put the counts of several texts together; the order of the parts makes no difference.

        Args:
            parts: taken one after the other; few of them are held at once.
            names: what an error calls them, such as their files; "part 1" and so on if absent.

        >>> here = PreTokenCounts.from_mapping({b"to": 2, b"be": 1}, "gpt2", texts=1)
        >>> there = PreTokenCounts.from_mapping({b"or": 1, b"be": 1}, "gpt2", texts=2)
        >>> both = PreTokenCounts.merged([here, there])
        >>> both.to_mapping(), both.texts
        ({b'be': 2, b'or': 1, b'to': 2}, 3)

        Raises:
            TokenizerError: there is no part, or two were cut by different patterns or at
                different special tokens.
        """
        waiting: list[PreTokenCounts] = []
        first: PreTokenCounts | None = None
        for number, part in enumerate(parts):
            first = first or part
            _check_cut_alike(first, part, number, names)
            waiting.append(part)
            # Merge only what is about equally large, or the large one is copied for every part.
            while len(waiting) > 1 and len(waiting[-2]) <= 2 * len(waiting[-1]):
                waiting[-2:] = [_together(waiting[-2:])]
        if not waiting:
            raise TokenizerError("there are no counts to put together; name at least one part")
        return waiting[0] if len(waiting) == 1 else _together(waiting)

    def save(self, path: str | Path) -> None:
        """Write the counts to a Parquet file, whole or not at all; see ``counts_file``.

        Raises:
            TokenizerError: the place cannot be written.
        """
        facts = CountsFacts(
            pattern=self.pattern,
            special_tokens=self.special_tokens,
            dropped=self.dropped,
            texts=self.texts,
            text_bytes=self.text_bytes,
        )
        write_counts(Path(path), StoredCounts(self.content, self.ends, self.counts, facts))

    @classmethod
    def load(cls, path: str | Path) -> PreTokenCounts:
        """Read counts that ``save`` wrote.

        Raises:
            TokenizerError: the file is missing, damaged, of a newer schema, or no such file.
        """
        content, ends, counts, facts = read_counts(Path(path))
        known = facts.model_dump(exclude={"schema_version", "checksum"})
        return cls(content, ends, counts, **known)


def _together(parts: Sequence[PreTokenCounts]) -> PreTokenCounts:
    sizes = [len(part.content) for part in parts]
    moved = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
    return PreTokenCounts.from_arrays(
        np.concatenate([part.content for part in parts]),
        np.concatenate([part.ends + by for part, by in zip(parts, moved, strict=True)]),
        np.concatenate([part.counts for part in parts]),
        parts[0].pattern,
        parts[0].special_tokens,
        dropped=sum(part.dropped for part in parts),
        texts=sum(part.texts for part in parts),
        text_bytes=sum(part.text_bytes for part in parts),
    )


def _check_cut_alike(
    first: PreTokenCounts, part: PreTokenCounts, number: int, names: Sequence[str]
) -> None:
    """Refuse a part whose text was cut otherwise than the first one's.

    Raises:
        TokenizerError: names both parts and what differs.
    """
    here, there = (names[i] if i < len(names) else f"part {i + 1}" for i in (number, 0))
    if part.pattern != first.pattern:
        what, mine, others = "pattern", repr(part.pattern), repr(first.pattern)
    elif part.special_tokens != first.special_tokens:
        what = "special tokens"
        mine, others = (", ".join(p.special_tokens) or "none" for p in (part, first))
    else:
        return
    raise TokenizerError(
        f"{here} cannot be put together with {there}: its text was cut with the {what} {mine}, "
        f"the other's with {others}; count one of them again"
    )
