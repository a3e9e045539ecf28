"""One long array of numbers in a file: a header of 64 bytes, then the numbers.

    offset  bytes  what
         0      8  magic, b"HORNBOOK"
         8      4  version of this format, 1
        12      4  bytes a number takes: 2, 4 or 8 (unsigned, little-endian)
        16      8  how many numbers follow
        24     32  SHA-256 of everything after the header
        56      8  zero

The file is written in one pass and bounded memory, and read through a memory map, so a
hundred gigabytes open as quickly as a hundred bytes.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import DataError

MAGIC = b"HORNBOOK"
VERSION = 1
HEADER = struct.Struct("<8sIIQ32s8x")
DTYPES: dict[int, np.dtype] = {2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}


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
        self._digest = hashlib.sha256()
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._file.write(bytes(HEADER.size))

    def append(self, numbers: NDArray[np.integer]) -> None:
        """Write ``numbers`` ([count], any integer dtype, all within the width)."""
        payload = np.ascontiguousarray(numbers, dtype=self._dtype).data
        self._digest.update(payload)
        self._file.write(payload)
        self.count += len(numbers)

    def close(self) -> str:
        """Complete the header and return the payload's SHA-256 in hexadecimal."""
        header = HEADER.pack(
            MAGIC, VERSION, self._dtype.itemsize, self.count, self._digest.digest()
        )
        self._file.seek(0)
        self._file.write(header)
        self._file.close()
        return self._digest.hexdigest()

    def abandon(self) -> None:
        """Close the file without completing it; it cannot be opened afterwards."""
        self._file.close()


def open_array(path: Path) -> NDArray[np.unsignedinteger]:
    """Map an array file into memory, read-only.

    Returns:
        an array of shape [count] and dtype ``uint16``, ``uint32`` or ``uint64``.

    Raises:
        DataError: when the file is missing, no array file, or shorter or longer than its
            header says.
    """
    dtype, count, _ = _read_header(path)
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
    _, _, expected = _read_header(path)
    with open(path, "rb") as file:
        file.seek(HEADER.size)
        found = hashlib.file_digest(file, "sha256").digest()
    if found != expected:
        raise DataError(
            f"{path}: the checksum is {found.hex()[:12]}… but {expected.hex()[:12]}… was written; "
            "the file is damaged."
        )


def _read_header(path: Path) -> tuple[np.dtype, int, bytes]:
    try:
        with open(path, "rb") as file:
            raw = file.read(HEADER.size)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(raw) < HEADER.size or not raw.startswith(MAGIC):
        raise DataError(f"{path} is not a token file of hornbook: its first 8 bytes differ.")
    _, version, width, count, checksum = HEADER.unpack(raw)
    if version > VERSION:
        raise DataError(
            f"{path} has format version {version}; this hornbook reads up to {VERSION}. "
            "Install a newer hornbook."
        )
    if width not in DTYPES:
        raise DataError(f"{path}: its header names numbers of {width} bytes; it is damaged.")
    return DTYPES[width], count, checksum
