"""How a model is spread over ranks, and how its weights come together again.

               each rank holds                              in a backward pass
    alone      everything                                   nothing is sent
    ddp        everything                                   gradients are added up over ranks
    fsdp       its part of weights, gradients and the       weights come whole, a block at a time;
               optimizer's state; a block whole in passing  of gradients each rank gets its part

Gradients are sums over ranks, not means: every rank divides its losses by the targets of the
whole batch (``training_step``), so that the sum is the gradient of one process.

With several micro-batches only the last backward pass sends anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from inspect import signature
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hornbook.models import LanguageModel
from hornbook.optimization.sharding import is_sharded, part_like, whole
from hornbook.training.batch_loss import Count
from hornbook.training.gradients import gradient_norms
from hornbook.training.ranks import ALONE, Ranks

Parallel = Literal["ddp", "fsdp"]

BYTES_TO_TRAIN = 16
"""Weights, gradients and two moments of AdamW, float32 each [bytes per parameter]."""
ROOM_FOR_DDP = 0.5
"""The share of a device that these may take; the rest is for what a step computes."""


def choose_parallel(
    wanted: str, *, parameters: int, device_bytes: int | None
) -> tuple[Parallel, str]:
    """Turn ``training.parallel`` into a way, with its reason.

    Args:
        wanted: ``auto``, ``ddp`` or ``fsdp``.
        parameters: trained numbers of the model.
        device_bytes: memory of the smallest device; ``None`` where it is the machine's own,
            which ranks share, so that it matters less how it is dealt.

    >>> choose_parallel("auto", parameters=10**9, device_bytes=80 * 10**9)
    ('ddp', 'a whole copy fits on every device')
    >>> choose_parallel("auto", parameters=10**10, device_bytes=80 * 10**9)
    ('fsdp', '160.0 GB of weights, gradients and optimizer state are too much for one device')
    """
    if wanted == "ddp" or wanted == "fsdp":
        return wanted, "as asked for"
    needed = parameters * BYTES_TO_TRAIN
    if device_bytes is not None and needed > ROOM_FOR_DDP * device_bytes:
        return "fsdp", (
            f"{needed / 1e9:.1f} GB of weights, gradients and optimizer state are too much for one "
            "device"
        )
    return "ddp", "a whole copy fits on every device"


_OPTIONS = signature(DistributedDataParallel).parameters
_LEAVE_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _OPTIONS else "broadcast_buffers": False
}
"""Masks and tables are the same everywhere and stay so; PyTorch 2.13 renamed the option."""


class Spread:
    """A model on one device, by itself; the base of the other ways.

    Args:
        loss: the module that a pass calls, with the model inside; on its device.
        model: the model.
        ranks: who trains it.

    Attributes:
        module: what a pass must call in place of ``loss``.
    """

    def __init__(self, loss: nn.Module, model: LanguageModel, ranks: Ranks = ALONE) -> None:
        self.module, self.model, self.ranks = loss, model, ranks

    def part(self, *, last: bool) -> AbstractContextManager[object]:
        """Around the forward pass of a micro-batch; only after the ``last`` are gradients sent."""
        return nullcontext()

    def whole_weights(self) -> AbstractContextManager[object]:
        """Within it ``model`` is a whole model that each rank may use as it likes."""
        return nullcontext()

    def norms(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """The Euclidean length of each tensor, of which this rank may hold a part: [tensors]."""
        return gradient_norms(tensors)

    def gathered(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Whole tensors on the CPU of the first rank; elsewhere nothing.

        They come one at a time, so that a device never holds more than one of them whole.
        """
        found = {}
        for name, tensor in tensors.items():
            complete = whole(tensor.detach())
            if self.ranks.is_first:
                found[name] = complete.cpu()
        return found

    def dealt(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """This rank's part of whole optimizer tensors, named ``parameter/entry``."""
        parameters = dict(self.model.named_parameters())
        found = {}
        for name, tensor in tensors.items():
            parameter = parameters[name.rpartition("/")[0]]
            alike = tensor.shape == parameter.shape  # a count of steps is no part of anything
            found[name] = part_like(tensor, parameter) if alike else tensor
        return found


class Replicated(Spread):
    """The whole model on every rank (Li et al., 2020, "PyTorch Distributed").

    The arguments are those of ``Spread``.
    """

    def __init__(self, loss: nn.Module, model: LanguageModel, ranks: Ranks) -> None:
        super().__init__(loss, model, ranks)
        self._replica = DistributedDataParallel(
            loss, gradient_as_bucket_view=True, **_LEAVE_BUFFERS
        )
        # PyTorch compares annotations with types, and here they are text; a lambda has none.
        self._replica.register_comm_hook(None, lambda _, bucket: _added_up(bucket))
        self.module = self._replica
        self._settle_packs()

    def _settle_packs(self) -> None:
        """Take a pass over a single token, whose gradients are thrown away.

        After its first pass DDP packs the gradients anew, in the order in which they came; and the
        packs decide in which order three ranks or more are added up. So the first pass must be the
        same one, whether a run begins here or is resumed, or their last bits would differ.
        """
        token = torch.zeros(1, 1, dtype=torch.int64, device=self.model.device)
        self._replica(token, token, Count(1))[0].backward()
        self._replica.zero_grad(set_to_none=True)

    def part(self, *, last: bool) -> AbstractContextManager[object]:
        """See ``Spread``."""
        return nullcontext() if last else self._replica.no_sync()


class Sharded(Spread):
    """A part of every tensor on each rank (Zhao et al., 2023, "PyTorch FSDP").

    Args:
        loss: the module that a pass calls; it may still lie on the CPU, and moves to the device a
            block at a time.
        model: the model inside it.
        ranks: who trains it.
        device: this rank's.
    """

    def __init__(
        self, loss: nn.Module, model: LanguageModel, ranks: Ranks, device: torch.device
    ) -> None:
        # Imported here because it takes half a second, which only those who shard should wait.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        super().__init__(loss, model, ranks)
        mesh = init_device_mesh(device.type, (ranks.count,))
        groups = [fully_shard(block, mesh=mesh) for block in _blocks(model)]
        groups.append(fully_shard(loss, mesh=mesh))
        self._groups = [group for group in groups if isinstance(group, FSDPModule)]
        self._root = self._groups[-1]
        for number, group in enumerate(self._groups):
            group.set_gradient_divide_factor(1.0)
            group.set_force_sum_reduction_for_comms(True)
            # Which weights come next in a backward pass. By itself FSDP goes by the forward passes
            # since the last one, and ranks evaluate different numbers of batches.
            group.set_modules_to_backward_prefetch([self._groups[number - 1]])

    def part(self, *, last: bool) -> AbstractContextManager[object]:
        """See ``Spread``."""
        self._root.set_requires_gradient_sync(last)
        return nullcontext()

    def norms(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """See ``Spread``."""
        return self.ranks.add_up(gradient_norms(tensors).square()).sqrt()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        self._root.set_reshard_after_forward(False)
        for group in self._groups:
            group.unshard()
        try:
            yield
        finally:
            for group in self._groups:
                group.reshard()
                # The root's weights are needed again as soon as the backward pass begins.
                group.set_reshard_after_forward(group is not self._root, recurse=False)

    def whole_weights(self) -> AbstractContextManager[object]:
        """See ``Spread``; takes 4 bytes a parameter on every device."""
        return self._whole()


def spread_model(
    loss: nn.Module, model: LanguageModel, ranks: Ranks, device: torch.device, parallel: Parallel
) -> Spread:
    """Bring the model to this rank's device, in the way that was chosen.

    Args:
        loss: the module that a pass calls, with the model inside.
        model: with the same weights on every rank.
        ranks: who trains it; they are connected.
        device: this rank's.
        parallel: how, if there are several.
    """
    if ranks.count > 1 and parallel == "fsdp":
        return Sharded(loss, model, ranks, device)
    loss.to(device)
    return Spread(loss, model) if ranks.count == 1 else Replicated(loss, model, ranks)


def has_parts(model: nn.Module) -> bool:
    """Whether this rank holds only parts of the weights."""
    return any(is_sharded(parameter) for parameter in model.parameters())


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The layers of a model, which come whole one at a time."""
    lists = (module for module in model.children() if isinstance(module, nn.ModuleList))
    return [block for layers in lists for block in layers]


def _added_up(bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """Add a bucket of gradients up over ranks, where PyTorch's own hook takes the mean."""
    sent = dist.all_reduce(bucket.buffer(), async_op=True)
    assert sent is not None
    return sent.get_future().then(lambda arrived: arrived.value()[0])
