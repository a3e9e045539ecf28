"""Tensors of which every rank holds a part: made whole, and cut again.

FSDP keeps weights, gradients and optimizer state as ``DTensor``: rank 0 of two holds the first
half of the rows, rank 1 the second. Sums over all entries, products of matrices and files on
disk need the whole. A plain tensor is whole already, so callers need not ask which it is.
"""

from __future__ import annotations

import torch


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of ``tensor``; for a sharded one every rank must call this, in the same order.

    >>> whole(torch.ones(2))
    tensor([1., 1.])
    """
    gather = getattr(tensor, "full_tensor", None)  # only a DTensor has it
    return tensor if gather is None else gather()


def whole_like(part: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The whole of which ``part`` is this rank's, where it is cut as ``other`` is.

    As with ``whole``, every rank must call this, in the same order.

    >>> whole_like(torch.ones(2), torch.zeros(2))
    tensor([1., 1.])
    """
    if not is_sharded(other):
        return part
    from torch.distributed.tensor import DTensor

    assert isinstance(other, DTensor)
    joined = DTensor.from_local(
        part, other.device_mesh, other.placements, shape=other.shape, stride=other.stride()
    )
    return whole(joined)


def part_like(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """This rank's part of a whole ``tensor``, cut as ``other`` is; nothing is sent.

    >>> part_like(torch.ones(2), torch.zeros(2))
    tensor([1., 1.])
    """
    if not is_sharded(other):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(other, DTensor)
    moved = tensor.to(other.device)
    # Every rank has the same numbers, so nobody has to be asked for them.
    return distribute_tensor(moved, other.device_mesh, other.placements, src_data_rank=None)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether this rank holds only a part of ``tensor``."""
    return hasattr(tensor, "full_tensor")


def part_of(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part as a plain tensor that shares its memory; a plain tensor as it is.

    >>> part_of(torch.ones(2))
    tensor([1., 1.])
    """
    local = getattr(tensor, "to_local", None)
    return tensor if local is None else local()
