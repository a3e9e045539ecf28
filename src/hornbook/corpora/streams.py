"""Bytes from anywhere: a local file or an address, plain, ``.gz`` or ``.zst``, chunk by chunk.

Everything that can fail while bytes arrive is caught here and becomes one ``CorpusError``
that names the file.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hornbook.errors import CorpusError
from hornbook.listener import Progress

CHUNK = 1024 * 1024
"""How much is read at once [bytes]."""

COMPRESSED = (".gz", ".zst")

# A few bytes of .zst can stand for 128 KiB each; small bites keep what one call gives small.
_ZST_BITE = 4096


class Reading:
    """What one pass over a corpus reports while it runs.

    Attributes:
        progress: told of every byte taken from a source, before decompression.
        empty: how many empty documents were left out so far.
        malformed: how many malformed lines were left out so far.
        first_malformed: where the first of them stands; empty as long as there is none.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or Progress()
        self.empty = 0
        self.malformed = 0
        self.first_malformed = ""

    def leave_out(self, where: str) -> None:
        """Count the malformed line at ``where``."""
        self.malformed += 1
        self.first_malformed = self.first_malformed or where


def is_address(location: str) -> bool:
    """Say whether ``location`` is for fsspec rather than a path of this machine.

    >>> is_address("s3://bucket/text.txt"), is_address("text.txt")
    (True, False)
    """
    return "://" in location


def byte_chunks(location: str, reading: Reading | None = None) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file or address in chunks.

    Raises:
        CorpusError: when it cannot be opened or read, or when compressed data is damaged.
    """
    advance = (reading or Reading()).progress.advance
    with open_bytes(location) as file, _damage_explained(location):
        counted: Any = _Counted(file, advance)
        if location.endswith(".gz"):
            yield from _plain_chunks(gzip.GzipFile(fileobj=counted))
        elif location.endswith(".zst"):
            yield from _zst_chunks(counted)
        else:
            yield from _plain_chunks(counted)


@contextmanager
def open_bytes(location: str) -> Iterator[BinaryIO]:
    """Open a path or an address for reading as it is, without decompressing it.

    Raises:
        CorpusError: when it cannot be opened; what an address needs installed is named.
    """
    try:
        file = _open_address(location) if is_address(location) else open(location, "rb")  # noqa: SIM115
    except Exception as error:  # a remote file system may raise anything
        raise unreadable(location, error) from error
    with file:
        yield file


def unreadable(location: str, error: BaseException) -> CorpusError:
    """Describe why a path or an address cannot be used."""
    if isinstance(error, ImportError):
        return CorpusError(
            f"{location}: addresses of this kind need more software ({error}). "
            "Install it with: pip install 'hornbook[remote]'"
        )
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return CorpusError(f"{location}: cannot be read: {reason}")


def _open_address(location: str) -> Any:
    import fsspec  # slow to import, and only addresses need it

    opened: Any = fsspec.open(location, "rb")
    return opened.open()


def _plain_chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _zst_chunks(file: Any) -> Iterator[bytes]:
    """Decompress frame after frame; unlike the library's reader, notice a missing end."""
    import zstandard

    frame = None
    while bite := file.read(_ZST_BITE):
        while bite:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                chunk = frame.decompress(bite)
            except zstandard.ZstdError as error:
                raise zlib.error(str(error)) from error
            if chunk:
                yield chunk
            bite = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("the compressed data ends too early")


class _Counted:
    """A file that reports how much was read from it."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self._file = file
        self._advance = advance

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._advance(len(data))
        return data


@contextmanager
def _damage_explained(location: str) -> Iterator[None]:
    """Turn what reading and decompressing raise into a ``CorpusError`` about ``location``."""
    try:
        yield
    except CorpusError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(
            f"{location}: damaged or cut short, it cannot be decompressed "
            f"({error}). Fetch or compress the file again."
        ) from error
    except Exception as error:  # a remote file system may raise anything
        raise unreadable(location, error) from error


def local_size(location: str) -> int | None:
    """Return a local file's size in bytes, ``None`` for an address or a missing file."""
    if is_address(location):
        return None
    try:
        return Path(location).stat().st_size
    except OSError:
        return None
