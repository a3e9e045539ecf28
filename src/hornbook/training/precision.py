"""In which numbers a step computes its products, and why.

Weights, gradients, the optimizer's state, norms and losses are float32 always. What may be
shorter are the two inputs of a product (Micikevicius et al., 2018, "Mixed Precision Training"):

             bits   of them after the point   largest number   a loss must be scaled
    float32   32              23                 3 × 10^38              no
    TF32      19              10                 3 × 10^38              no
    bfloat16  16               7                 3 × 10^38              no
    float16   16              10                   65,504               yes

PyTorch's autocast casts the inputs of each product and leaves the rest alone. TF32 is no type of
a tensor: the card rounds what it reads.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from hornbook.errors import ConfigError, Problem
from hornbook.processor import bfloat16_unit
from hornbook.runs.config import NO_FLOAT16_ON_CPU

PrecisionName = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Precision:
    """What was chosen.

    Attributes:
        name: the type of a product's inputs.
        reason: why this one, in words that can stand in brackets.
        device: where.
        tf32: whether a CUDA device may round the inputs of float32 products.
    """

    name: PrecisionName
    reason: str
    device: torch.device
    tf32: bool = False

    @property
    def scaled(self) -> bool:
        """Whether gradients would vanish without a scaled loss."""
        return self.name == "float16"

    def products(self) -> AbstractContextManager[object]:
        """Within it, a forward pass computes its products in this precision."""
        if self.name == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.name))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it, products of float32 follow ``tf32``; afterwards what was set before."""
        if self.device.type != "cuda":
            yield
            return
        with warnings.catch_warnings():
            # PyTorch warns that this will be called otherwise one day; its own compiler reads
            # these names and refuses to work with the new ones.
            warnings.simplefilter("ignore", UserWarning)
            before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
            _set_tf32("high" if self.tf32 else "highest", self.tf32)
        try:
            yield
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                _set_tf32(*before)

    def __str__(self) -> str:
        """Name and reason, for a person.

        >>> str(Precision("float32", "as asked for", torch.device("cpu")))
        'float32 (as asked for)'
        """
        rounding = ", TF32" if self.tf32 and self.device.type == "cuda" else ""
        return f"{self.name}{rounding} ({self.reason})"


def choose_precision(wanted: str, device: torch.device, *, tf32: bool = False) -> Precision:
    """Turn ``training.precision`` into what the device can do.

    Args:
        wanted: the setting.
        device: where to train.
        tf32: the setting of that name.

    Raises:
        ConfigError: for float16 on a CPU.

    >>> choose_precision("float32", torch.device("cpu")).reason
    'as asked for'
    """
    if wanted == "float16" and device.type == "cpu":
        raise ConfigError([Problem("training.precision", NO_FLOAT16_ON_CPU, wanted)])
    if wanted == "auto":
        name, reason = _fastest(device)
        return Precision(name, f"auto: {reason}", device, tf32)
    assert wanted in ("float32", "bfloat16", "float16")
    return Precision(wanted, "as asked for", device, tf32)


def _fastest(device: torch.device) -> tuple[PrecisionName, str]:
    """The fastest precision that reaches the loss of float32 on this device, and why."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        card = f"compute capability {major}.{minor}"
        if major >= 8:
            return "bfloat16", f"{card} multiplies it fastest, and it has the range of float32"
        if major >= 7:
            return "float16", f"{card} has units for it and none for bfloat16"
        return "float32", f"{card} has units for nothing shorter"
    if device.type == "cpu":
        unit = bfloat16_unit()
        if unit is not None:
            return "bfloat16", f"{unit} multiplies it fastest, and it has the range of float32"
        return "float32", "nothing shorter is known to be faster on this processor"
    return "float32", f"nothing shorter was measured on {device.type} yet"


def _set_tf32(products: str, recurrent: bool) -> None:
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = recurrent
