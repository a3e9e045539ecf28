"""What can be read only once is kept in a file, so that later passes and a resume find it."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from typing import BinaryIO

from hornbook.cache import cache_folder
from hornbook.corpora.streams import CHUNK
from hornbook.durable import ABANDONED_AFTER, ASIDE, remove_unfinished, sync_folder
from hornbook.errors import CorpusError
from hornbook.listener import SILENT, Listener


def spool(stream: BinaryIO, name: str, *, listener: Listener = SILENT) -> Path:
    """Copy a stream into the cache folder, under the checksum of its bytes.

    The same bytes always lead to the same file. Memory does not grow with the stream.

    Raises:
        CorpusError: when ``name``, the stream, gives nothing, or the disk is full.
    """
    folder = cache_folder() / "stdin"
    aside = folder / f"{ASIDE}{uuid.uuid4().hex}"
    digest = hashlib.sha256()
    length = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(folder, idle_seconds=ABANDONED_AFTER)
        with (
            listener.progress(f"keeping {name}", total=None, unit="bytes") as progress,
            open(aside, "wb") as file,
        ):
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
                length += len(chunk)
                progress.advance(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if not length:
            raise CorpusError(f"{name} is empty: there is no text to read")
        kept = folder / f"{digest.hexdigest()}.txt"
        os.replace(aside, kept)
        sync_folder(folder)
    except OSError as error:
        raise CorpusError(
            f"{name}: cannot be kept in {folder}: {error.strerror or error}. Free some space, or "
            "name another folder with the variable HORNBOOK_CACHE."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return kept
