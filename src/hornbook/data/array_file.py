"""One long array of numbers in a file: a header of 64 bytes, then the numbers.

    offset  bytes  what
         0      8  magic, b"HORNBOOK"
         8      4  version of this format, 2
        12      4  bytes a number takes: 2, 4 or 8 (unsigned, little-endian)
        16      8  how many numbers follow
        24      4  CRC-32 of everything after the header; version 1: the 32 bytes of its SHA-256
        28     36  zero

The file is written in one pass and bounded memory, and read through a memory map, so a
hundred gigabytes open as quickly as a hundred bytes.

The checksum is there to notice damage, not forgery: whoever can change the numbers can change
the header. For the tokens of 100 MB of text, SHA-256 takes 0.23 s on a processor without
instructions for it, more than reading, checking and writing together; CRC-32 takes 0.03 s.
"""

from __future__ import annotations

import hashlib
import os
import struct
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hornbook.durable import ASIDE, sync_file, sync_folder
from hornbook.errors import DataError

MAGIC = b"HORNBOOK"
VERSION = 2
HEADER = struct.Struct("<8sIIQ32s8x")
DTYPES: dict[int, np.dtype] = {2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}

_AT_ONCE = 1 << 20
"""How much is read at once to compare a checksum [bytes]."""
_UNSYNCED = 1 << 24
"""How much is written before it is flushed to the disk, so that the end need not wait [bytes]."""


class ArrayWriter:
    """Appends numbers to a new array file; the header is filled in by ``close``.

    Args:
        path: the file to create.
        width: bytes a number takes, 2, 4 or 8.
    """

    def __init__(self, path: Path, width: int) -> None:
        self.path = path
        self.count = 0
        self._dtype = DTYPES[width]
        self._checksum = 0
        self._unsynced = 0
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._file.write(bytes(HEADER.size))

    def append(self, numbers: NDArray[np.integer]) -> None:
        """Write ``numbers`` ([count], any integer dtype, all within the width)."""
        payload = np.ascontiguousarray(numbers, dtype=self._dtype).data
        self._checksum = zlib.crc32(payload, self._checksum)
        self._file.write(payload)
        self.count += len(numbers)
        self._unsynced += payload.nbytes
        if self._unsynced >= _UNSYNCED:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._unsynced = 0

    def close(self) -> None:
        """Complete the header."""
        checksum = self._checksum.to_bytes(4, "little")
        header = HEADER.pack(MAGIC, VERSION, self._dtype.itemsize, self.count, checksum)
        self._file.seek(0)
        self._file.write(header)
        self._file.close()

    def abandon(self) -> None:
        """Close the file without completing it; it cannot be opened afterwards."""
        self._file.close()


@contextmanager
def durable_array(path: Path, width: int) -> Iterator[ArrayWriter]:
    """Yield the writer of one array file, which becomes ``path`` on success, in one rename.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    with durable_file(path) as aside:
        writer = ArrayWriter(aside, width)
        try:
            yield writer
            writer.close()
        except BaseException:
            with suppress(OSError):  # a full disk would say so once more
                writer.abandon()
            raise


@contextmanager
def durable_file(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write, which becomes ``path`` on success, in one rename.

    On any exception nothing is left behind, and what stood at ``path`` stays.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    aside = path.with_name(f"{ASIDE}{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        yield aside
        sync_file(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_array(path: Path) -> NDArray[np.unsignedinteger]:
    """Map an array file into memory, read-only.

    Returns:
        an array of shape [count] and dtype ``uint16``, ``uint32`` or ``uint64``.

    Raises:
        DataError: when the file is missing, no array file, or shorter or longer than its
            header says.
    """
    header = _read_header(path)
    dtype, count = header.dtype, header.length
    size = path.stat().st_size
    if size != HEADER.size + count * dtype.itemsize:
        raise DataError(
            f"{path} should hold {count:,} numbers in {HEADER.size + count * dtype.itemsize:,} "
            f"bytes but has {size:,} bytes: it is damaged. Delete its folder to build it anew."
        )
    if count == 0:  # an empty range cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=HEADER.size, shape=(count,))


def verify_array(path: Path) -> None:
    """Read the whole file and compare its checksum.

    Raises:
        DataError: when the content differs from what was written.
    """
    header = _read_header(path)
    with open(path, "rb") as file:
        file.seek(HEADER.size)
        if header.version == 1:
            found = hashlib.file_digest(file, "sha256").digest()
        else:
            checksum = 0
            while payload := file.read(_AT_ONCE):
                checksum = zlib.crc32(payload, checksum)
            found = checksum.to_bytes(4, "little")
    expected = header.checksum
    if found != expected:
        raise DataError(
            f"{path}: the checksum is {found.hex()[:12]} but {expected.hex()[:12]} was written; "
            "the file is damaged."
        )


class _Header(NamedTuple):
    """What the first 64 bytes say; the checksum has 4 bytes, and 32 in version 1."""

    version: int
    dtype: np.dtype
    length: int
    checksum: bytes


def _read_header(path: Path) -> _Header:
    try:
        with open(path, "rb") as file:
            raw = file.read(HEADER.size)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(raw) < HEADER.size or not raw.startswith(MAGIC):
        raise DataError(
            f"{path} is not a token file: it begins otherwise than hornbook writes them."
        )
    _, version, width, count, checksum = HEADER.unpack(raw)
    if version > VERSION:
        raise DataError(
            f"{path} has format version {version}; this hornbook reads up to {VERSION}. "
            "Install a newer hornbook."
        )
    if width not in DTYPES:
        raise DataError(f"{path}: its header names numbers of {width} bytes; it is damaged.")
    return _Header(version, DTYPES[width], count, checksum if version == 1 else checksum[:4])
