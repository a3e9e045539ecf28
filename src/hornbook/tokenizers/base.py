"""What every tokenizer is: text to token ids, token ids to text, and a file.

    tokenizer = Tokenizer.load("runs/first/tokenizer.json")
    ids = tokenizer.encode("To be, or not to be")
    tokenizer.decode(ids)               # 'To be, or not to be', for every text

A tokenizer is never half-built and never changes: the constructor of a family takes the whole
vocabulary, checks it and derives all else from it; loading, copying and unpickling all go
through that constructor.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from hornbook.durable import write_durably
from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.special_tokens import (
    AllowedSpecial,
    allowed_names,
    split_at_special,
)
from hornbook.tokenizers.spelling_out import SpelledTokens, text_as_it_comes, worth_kernels
from hornbook.tokenizers.streams import thread_count, whole_blocks
from hornbook.tokenizers.text import check_text, content_of, plain
from hornbook.tokenizers.tokenizer_file import (
    FILE_NAME,
    SCHEMA_VERSION,
    StoredFields,
    canonical,
    read_fields,
    render,
)

TokenIds: TypeAlias = Iterable[int] | NDArray[Any]
Undecodable: TypeAlias = Literal["replace", "strict", "ignore", "backslashreplace"]

_BARE_NAME = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*")


class Tokenizer(ABC):
    """A vocabulary and the two ways through it. Equal and hashed by ``fingerprint``.

    Attributes:
        kind: the family: ``byte``, ``char``, ``word`` or ``bpe``.
        special_tokens: the id of each special token, by name; cannot be changed.
        start_id, end_id, pad_id: the ids that begin and end a document and fill a row.
        unknown_id: the id of ``<?>``, or ``None`` where the family has none.
    """

    kind: ClassVar[str]
    special_tokens: Mapping[str, int]
    start_id: int
    end_id: int
    pad_id: int
    unknown_id: int | None

    _families: ClassVar[dict[str, type[Tokenizer]]] = {}
    _load_published: ClassVar[Callable[..., Tokenizer]]
    """Loads a vocabulary by its published name; ``formats.published`` registers it here."""

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls):
            Tokenizer._families[cls.kind] = cls

    # What a family brings.

    _tokens: tuple[bytes, ...]
    """The bytes of every id, in the order of the ids; a special token's are its name's. An id
    without bytes is unused: it stands between special tokens whose ids leave a gap."""

    @abstractmethod
    def _encode_plain(self, text: str) -> list[int]:
        """Encode a checked text in which nothing is special."""

    def _encode_any(self, text: str | bytes, threads: int = 1) -> NDArray[np.uint32]:
        """Encode a text or its bytes, in which nothing is special; here only bytes in UTF-8.

        Raises:
            TokenizerError: the text is no Unicode text, or the bytes are no UTF-8.
        """
        if isinstance(text, str):
            check_text(text)
            return self._encode_text(text)
        try:
            return self._encode_text(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise TokenizerError(
                f"byte {error.start} is {text[error.start]:#04x}, which is no UTF-8 "
                f"({error.reason}); a {self.kind} tokenizer reads text only. Decode the bytes with "
                "their real encoding, or use a byte or bpe tokenizer."
            ) from None

    def _encode_text(self, text: str) -> NDArray[np.uint32]:
        """Encode a checked text in which nothing is special, to an array."""
        return np.array(self._encode_plain(text), dtype=np.uint32)

    def _encode_all(
        self, texts: Iterable[str | bytes], size: int, threads: int
    ) -> Iterable[NDArray[np.uint32]]:
        """Encode many of them, of about ``size`` bytes in all, in their order."""
        return map(self._encode_any, texts)

    def _safe_cut(self, content: bytes) -> int:
        """Return a place where text that goes on may be cut, and each side encoded apart, or 0."""
        return 0

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return all that makes this tokenizer, as JSON values; ``from_json`` takes it back."""

    @classmethod
    @abstractmethod
    def _from_fields(cls, fields: StoredFields) -> Self:
        """Build the tokenizer out of the keys of its file, taking each of them."""

    # Text to ids.

    @overload
    def encode(
        self,
        text: str,
        *,
        allowed_special: AllowedSpecial = (),
        add_start: bool = False,
        add_end: bool = False,
    ) -> list[int]: ...
    @overload
    def encode(
        self,
        text: list[str] | tuple[str, ...],
        *,
        allowed_special: AllowedSpecial = (),
        add_start: bool = False,
        add_end: bool = False,
    ) -> list[list[int]]: ...
    def encode(
        self,
        text: str | list[str] | tuple[str, ...],
        *,
        allowed_special: AllowedSpecial = (),
        add_start: bool = False,
        add_end: bool = False,
    ) -> list[int] | list[list[int]]:
        """Return the token ids of a text, or of each text of a list.

        Args:
            text: any Unicode text; nothing is normalised, stripped or joined.
            allowed_special: the special tokens to recognise in the text, by name, or ``"all"``;
                the names of all others are plain text.
            add_start: put ``start_id`` in front.
            add_end: put ``end_id`` at the end.

        Raises:
            TokenizerError: ``text`` is no Unicode text (a lone surrogate is named by its
                position), or a name in ``allowed_special`` is no special token.
        """
        if isinstance(text, list | tuple):
            return self.encode_batch(
                text, allowed_special=allowed_special, add_start=add_start, add_end=add_end
            )
        names = allowed_names(allowed_special, self.special_tokens)
        return self._encode_one(text, "the text", names, add_start, add_end)

    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        allowed_special: AllowedSpecial = (),
        add_start: bool = False,
        add_end: bool = False,
        threads: int | None = None,
    ) -> list[list[int]]:
        """Return the token ids of each text; see ``encode``.

        Args:
            threads: how many may work at once; as many as there are cores if not given. They
                serve texts in which nothing is special. (Making lists takes longer than
                encoding, and only one thread can: see ``encode_batch_arrays``.)

        Raises:
            TokenizerError: as ``encode`` (the text is named by its number), ``texts`` is one text,
                or ``threads`` is below 1.
        """
        if isinstance(texts, str):
            raise TokenizerError("encode_batch takes several texts; one text goes to encode")
        names = allowed_names(allowed_special, self.special_tokens)
        if not (names or add_start or add_end):
            return [ids.tolist() for ids in self.encode_batch_arrays(texts, threads=threads)]
        return [
            self._encode_one(text, f"text {number}", names, add_start, add_end)
            for number, text in enumerate(texts)
        ]

    def encode_batch_arrays(
        self, texts: Iterable[str | bytes], *, threads: int | None = None
    ) -> list[NDArray[np.uint32]]:
        """Return the token ids of each text as uint32 [tokens]; nothing in them is special.

        Args:
            texts: several texts, or their bytes; see ``encode_array``.
            threads: how many work at once; as many as there are cores if not given.

        Raises:
            TokenizerError: something is no Unicode text (named by its number), ``texts`` is one
                text, or ``threads`` is below 1.
        """
        if isinstance(texts, str | bytes):
            raise TokenizerError("several texts are expected; one goes to encode_array")
        given = [plain(text, f"text {number}") for number, text in enumerate(texts)]
        try:
            size = sum(map(len, given))
            return list(self._encode_all(given, size, thread_count(threads)))
        except TokenizerError:
            for number, text in enumerate(given):
                content_of(text, f"text {number}")  # which of them it was
            raise

    def encode_array(self, text: str | bytes, *, threads: int = 1) -> NDArray[np.uint32]:
        """Return the token ids of a text as uint32 [tokens]; nothing in it is special.

        Args:
            text: a text, or its bytes in UTF-8; see ``encode_bytes`` for bytes that are not.
            threads: how many may share a long text.

        Raises:
            TokenizerError: ``text`` is no Unicode text, or ``threads`` is below 1.
        """
        return self._encode_any(plain(text), thread_count(threads))

    def encode_bytes(self, content: bytes) -> list[int]:
        """Return the token ids of any bytes; ``decode_bytes`` gives exactly these bytes back.

        A byte that is no part of a well-formed UTF-8 character counts as a sign of its own
        that is neither letter, digit nor white space. All else is encoded as text is.

        Raises:
            TokenizerError: the bytes are no UTF-8, and this family reads only text.
        """
        return self._encode_any(content_of(content)).tolist()

    def encode_stream(
        self, pieces: Iterable[str | bytes], *, threads: int = 1
    ) -> Iterator[NDArray[np.uint32]]:
        """Yield the token ids of a text that comes in pieces, as uint32 arrays.

        Put end to end they are the ids of the whole text, however it is cut. What is held back
        is up to four blocks a thread (see ``streams.BLOCK``), and the text since the last place
        where a cut is safe.

        Raises:
            TokenizerError: a piece is no Unicode text (named by its number), or ``threads`` is
                below 1.
        """
        named = (content_of(piece, f"piece {number}") for number, piece in enumerate(pieces))
        contents = whole_blocks(named, self._safe_cut)
        threads = thread_count(threads)
        while batch := list(islice(contents, 4 * threads)):
            yield from self._encode_all(batch, sum(map(len, batch)), threads)

    def count(self, text: str | bytes) -> int:
        """Return how many tokens a text has."""
        return len(self.encode_array(text))

    def prepare(self, listener: Listener = SILENT) -> None:  # noqa: B027 - most have nothing to do
        """Make ready for much text: whatever a family would else do when it first meets some."""

    def pieces(self, text: str, *, allowed_special: AllowedSpecial = ()) -> list[tuple[int, bytes]]:
        """Return each token of a text as (id, the bytes it stands for), to show to a person."""
        return [
            (token_id, self._tokens[token_id])
            for token_id in self.encode(text, allowed_special=allowed_special)
        ]

    def _encode_one(
        self, text: str, where: str, names: frozenset[str], add_start: bool, add_end: bool
    ) -> list[int]:
        check_text(text, where)
        if type(text) is not str:
            text = str.__str__(text)
        if not (names or add_start or add_end):
            return self._encode_plain(text)
        ids = [self.start_id] if add_start else []
        for place, part in enumerate(split_at_special(text, names)):
            if place % 2:
                ids.append(self.special_tokens[part])
            elif part:
                ids += self._encode_plain(part)
        if add_end:
            ids.append(self.end_id)
        return ids

    # Ids to text.

    def decode(self, ids: TokenIds, errors: Undecodable = "replace") -> str:
        """Return the text that ids stand for; special tokens give their names.

        Args:
            ids: token ids, in any iterable or an array [tokens].
            errors: what to do where the bytes are no UTF-8 (ids cut inside a character, or
                chosen by a model): put U+FFFD, refuse, leave out, or write ``\\xNN``.

        Raises:
            TokenizerError: an id is outside the vocabulary or unused in it, or ``errors`` is
                ``"strict"`` and the bytes are no UTF-8.
        """
        content = self.decode_bytes(ids)
        try:
            return content.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise TokenizerError(
                f"the ids are no UTF-8 text: byte {error.start} is {content[error.start]:#04x} "
                f'({error.reason}); decode with errors="replace", or use decode_bytes'
            ) from None

    def decode_bytes(self, ids: TokenIds) -> bytes:
        """Return the bytes that ids stand for, which need not be whole characters.

        Raises:
            TokenizerError: an id is outside the vocabulary or unused in it; names its position.
        """
        if isinstance(ids, np.ndarray):
            if ids.ndim != 1:
                raise TokenizerError(
                    f"ids of the shape {list(ids.shape)} cannot be decoded: give one row [tokens]"
                )
            if ids.dtype.kind in "ui" and worth_kernels(ids.size):
                same = ids.dtype == np.uint32 or 0 <= ids.min() <= ids.max() < self.vocab_size
                flat = np.ascontiguousarray(ids, dtype=np.uint32)
                joined = self._spelled.joined(flat) if same else None
                if joined is not None:
                    return joined
        known: list[int] = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        tokens = self._tokens
        try:
            if known and min(known) >= 0:
                pieces = [tokens[token_id] for token_id in known]
                if all(pieces):
                    return b"".join(pieces)
        except (IndexError, TypeError):
            pass  # found again below, with its position
        for position, token_id in enumerate(known):
            self._check_id(token_id, f"ids[{position}]")
        return b"".join(tokens[token_id] for token_id in known)

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of each id as it comes, ``""`` while a character is not complete.

        A character that never becomes complete is U+FFFD, as in ``decode``.

        Raises:
            TokenizerError: an id is outside the vocabulary or unused in it.
        """
        return text_as_it_comes(ids, self.token_bytes)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes one id stands for; a special token's are those of its name.

        Raises:
            TokenizerError: the id is outside the vocabulary or unused in it.
        """
        self._check_id(token_id, "token_bytes")
        return self._tokens[token_id]

    def byte_lengths(self) -> NDArray[np.int64]:
        """Return how many bytes of text each id stands for: int64 [vocab_size], read-only.

        Special tokens and unused ids stand for none, except the unknown token, which counts the
        bytes of ``<?>``. Divide a loss by these to get bits per byte.
        """
        return self._byte_lengths

    def unknown_among(self, ids: TokenIds) -> int:
        """Return how many of the ids are ``<?>``, which stands for text outside the vocabulary.

        Always 0 where such text is spelled in bytes, and so is never lost.
        """
        if self.unknown_id is None:
            return 0
        known = ids if isinstance(ids, np.ndarray) else np.fromiter(ids, np.int64)
        return int((known == self.unknown_id).sum())

    def _check_id(self, token_id: int, where: str) -> None:
        if not hasattr(token_id, "__index__") or not 0 <= token_id < self.vocab_size:
            raise TokenizerError(
                f"{where}: {token_id!r} is no token id of this vocabulary, whose ids are whole "
                f"numbers from 0 to {self.vocab_size - 1}; was it made with another tokenizer?"
            )
        if not self._tokens[token_id]:
            raise TokenizerError(
                f"{where}: id {token_id} is unused in this vocabulary, it stands for nothing; was "
                "it made with another tokenizer, or chosen by a model that was not told so?"
            )

    # The whole.

    @property
    def vocab_size(self) -> int:
        """The highest id plus one: special tokens are included, and ids that are unused."""
        return len(self._tokens)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the canonical JSON: equal exactly where every id means the same."""
        document = self.to_json()
        # The form of the file may grow with the software; the vocabulary is the same one.
        del document["schema_version"]
        return hashlib.sha256(canonical(document)).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to one file, whole or not at all; into a folder under its own name.

        Raises:
            OSError: the place cannot be written; what stood there stays.
        """
        path = Path(path)
        write_durably(path / FILE_NAME if path.is_dir() else path, render(self.to_json()))

    @classmethod
    def load(cls, path: str | Path, *, listener: Listener = SILENT) -> Self:
        """Read a tokenizer from its file, from a folder that holds one, or by its published name.

        On ``Tokenizer`` this gives whichever family the file holds; on a family, only that one.

        Args:
            path: a file; a folder with ``tokenizer.json``; or, where there is no file or folder
                of that name, a published vocabulary such as ``"gpt2"``: it is taken from the
                cache, or fetched into it once.
            listener: is told of a download.

        Raises:
            TokenizerError: the file is missing, is no hornbook tokenizer, is of a newer schema
                or another kind, or a key is missing or wrong; names the file and the key. Or
                there is no such name, or it cannot be fetched.
        """
        path = Path(path)
        if path.exists() or not _BARE_NAME.fullmatch(str(path)):
            return cls._from_stored(read_fields(path))
        tokenizer = Tokenizer._load_published(path.name, listener=listener)
        if not isinstance(tokenizer, cls):
            raise TokenizerError(
                f"{path}: is a {tokenizer.kind} tokenizer, not a {cls.__name__}; use Tokenizer.load"
            )
        return tokenizer

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Build a tokenizer from what ``to_json`` gave.

        Raises:
            TokenizerError: as for ``load``.
        """
        return cls._from_stored(StoredFields(document, "tokenizer"))

    @classmethod
    def _from_stored(cls, fields: StoredFields) -> Self:
        kind = fields.text("kind")
        family = Tokenizer._families.get(kind)
        if family is None:
            known = ", ".join(map(repr, Tokenizer._families))
            raise fields.problem(f"key 'kind' is {kind!r}, which is none of {known}")
        if not issubclass(family, cls):
            raise fields.problem(
                f"key 'kind' is {kind!r}, not the kind of a {cls.__name__}; use Tokenizer.load"
            )
        tokenizer = family._from_fields(fields)
        fields.finish()
        return tokenizer

    def _header(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, "kind": self.kind}

    @cached_property
    def _spelled(self) -> SpelledTokens:
        return SpelledTokens(self._tokens)

    @cached_property
    def _byte_lengths(self) -> NDArray[np.int64]:
        lengths = np.array([len(token) for token in self._tokens], dtype=np.int64)
        for token_id in self.special_tokens.values():
            if token_id != self.unknown_id:
                lengths[token_id] = 0
        lengths.flags.writeable = False
        return lengths

    # An object that never changes. Constructors fill ``vars(self)``.

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} never changes; {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} never changes; {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Callable[..., Tokenizer], tuple[dict[str, Any]]]:
        return type(self).from_json, (self.to_json(),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self is other or self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, {self.fingerprint[:12]})"
