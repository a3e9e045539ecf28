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
        if not is_out_of_memory(error):
            raise
        raise RunError(f"{what} does not fit into memory. {remedy}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on whichever device.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("a bug"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU PyTorch raises a plain RuntimeError, so only its words tell.
    words = str(error)
    plain = isinstance(error, RuntimeError)
    return plain and ("allocate memory" in words or "out of memory" in words)
