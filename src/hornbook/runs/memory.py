"""What to say when the memory does not suffice, instead of a library's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hornbook.errors import RunError


@contextmanager
def explained_memory(what: str, remedy: str) -> Iterator[None]:
    """Turn an allocation that fails inside the block into a ``RunError``.

    Args:
        what: what did not fit, as the beginning of a sentence.
        remedy: what to do about it, as a whole sentence.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU PyTorch raises a plain RuntimeError, so only its words tell.
        words = str(error)
        plain = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not plain and "allocate memory" not in words and "out of memory" not in words:
            raise
        raise RunError(f"{what} does not fit into memory. {remedy}") from error
