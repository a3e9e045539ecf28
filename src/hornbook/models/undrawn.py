"""Models whose weights are about to be read: no time is spent on drawing initial ones.

    with undrawn():
        model = make_model(config, tokenizer)     # shapes and tables, weights as memory had them
    checkpoint.load_model(model)                  # every weight, or an error

Drawing GPT-2's 124 million weights, which PyTorch's layers do once and ``initialise`` once more,
takes 1.4 s of one core; making it undrawn takes 0.06 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch.overrides import TorchFunctionMode


class _LeaveWeightsAlone(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


@contextmanager
def undrawn() -> Iterator[None]:
    """Make models without initial weights inside the block; all of them must be read afterwards."""
    with _LeaveWeightsAlone():
        yield
