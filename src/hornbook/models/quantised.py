"""Weights as inference wants them: laid out for the processor, in 32, 16 or 8 bits.

A model that writes one token after the other reads all its weights for each, and hardly computes.
So half the bits are half the time, as soon as the weights do not fit into the processor's caches:

    float32    as they are, in the order in which oneDNN reads them
    bfloat16   rounded to 8 significant bits
    int8       each output's weights over their largest, in steps of 1/127

                weight [outputs, inputs]        scale       as int8
                0.30  -0.60   0.10              0.6/127      64 -127   21
                0.02   0.01  -0.05              0.05/127     51   25 -127

On a CPU the int8 product is one of whole numbers, so the inputs are rounded too, each row by
itself: over its largest, in 255 steps from -1 to 1. Sums of whole numbers are exact, so a row's
result does not depend on its neighbours. Elsewhere the weights are brought back to bfloat16 for
each product.

Only the matrices change. Embeddings, norms, positions and the cache stay as they were, and
so does a head that shares its weights with the embedding: it gets a copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
import torch.nn.functional as F

from hornbook.errors import GenerationError
from hornbook.models.base import LanguageModel
from hornbook.models.linear import Linear
from hornbook.models.one_row import (
    STEP,
    float_row,
    is_one_row,
    round_row,
    shared_array,
    short_row,
    whole_row,
)
from hornbook.processor import processor_features

WeightKind = Literal["float32", "bfloat16", "int8"]
"""How weights are kept; see the module's text."""

Product = Callable[[torch.Tensor], torch.Tensor]
"""[..., inputs] to [..., outputs], both ``float32``."""

Model = TypeVar("Model", bound=LanguageModel)

# One thread of a Zen 4, 3,072 x 768 weights out of memory, others at work [µs]:
#   rows   F.linear   float32   bfloat16   int8
#     1        820       730       400      205
#    16      1,800     1,080       550      450
# Of small matrices, which stay in the cache, a single row is quickest by F.linear.
SMALLEST = 1 << 18
"""Matrices with fewer weights stay as they are in float32 [numbers]."""

# For how many rows oneDNN lays weights out. 16 rows of float32 take 1,540 µs if that was one, and
# 1,000 if it was 64; fewer rows and bfloat16 are as quick with either.
_ROWS = 64

# What the product of whole numbers takes a row's largest and smallest number from. The rest is
# padding, for rows of whole cache lines.
_ENDS = (-1.0, 1.0) + (0.0,) * 14


def quantise(model: Model, kind: WeightKind) -> Model:
    """A copy of ``model`` for inference, with its matrices in other numbers.

    What does not change is shared with ``model``, which stays as it was. The copy cannot be
    trained.

    Raises:
        GenerationError: when the model has no matrices that could be changed, or ``kind`` is
            unknown.

    >>> from hornbook.models import TransformerConfig, build_model
    >>> config = TransformerConfig(d_model=16, heads=2, layers=1)
    >>> model = build_model(config, vocab_size=8, context_length=4, seed=1)
    >>> tokens = torch.tensor([[1, 2, 3]])
    >>> exact, rounded = model(tokens)[0], quantise(model, "int8")(tokens)[0]
    >>> bool((exact - rounded).abs().max() < 0.05)
    True
    """
    if kind not in get_args(WeightKind):
        known = ", ".join(get_args(WeightKind))
        raise GenerationError(f"weights cannot be kept as {kind!r}; there are {known}.")
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    copy = deepcopy(model, dict(shared)).eval()
    matrices = [part for part in copy.modules() if isinstance(part, Linear)]
    if not matrices and kind != "float32":
        raise GenerationError(
            f"this model has no matrices that could be kept as {kind}: only a transformer has."
        )
    with torch.no_grad():
        for part in matrices:
            if kind != "float32" or _is_worth_it(part.weight):
                product = make_product(part.weight.detach(), part.bias, kind)
                part.use(product, exact=kind == "float32")
    return copy


def make_product(weight: torch.Tensor, bias: torch.Tensor | None, kind: WeightKind) -> Product:
    """What multiplies by ``weight`` ([outputs, inputs]) and adds ``bias`` from now on."""
    on_cpu = weight.device.type == "cpu"
    bias = None if bias is None else bias.detach().float()
    if kind == "int8":
        return _int8_on_cpu(weight, bias) if on_cpu and _whole_numbers() else _int8(weight, bias)
    short = weight.to(torch.bfloat16 if kind == "bfloat16" else torch.float32)
    if on_cpu and torch.backends.mkldnn.is_available():
        return _by_onednn(short, bias)
    return _plain(short, bias)


def _is_worth_it(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.numel() >= SMALLEST


def _plain(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    def product(x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x.to(weight.dtype), weight)
        return y.float() if bias is None else y + bias

    return product


def _by_onednn(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    kind, weight = weight.dtype, weight.contiguous()
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
    is_short = kind is torch.bfloat16
    multiply = short_row if is_short else float_row
    plain = shared_array(weight.view(torch.int16) if is_short else weight)
    added = np.zeros(len(plain), np.float32) if bias is None else shared_array(bias)

    def product(x: torch.Tensor) -> torch.Tensor:
        if is_one_row(x):
            out = np.zeros(len(plain), dtype=np.float32)
            multiply(x.to(kind).float().view(-1).numpy(), plain, added, out)
            return torch.from_numpy(out).view(*x.shape[:-1], -1)
        y = torch.ops.mkldnn._linear_pointwise(x.to(kind), packed, None, "none", [], "")
        return y.float() if bias is None else y + bias

    return product


def _rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[outputs, inputs] ``int8`` and what each row of it is multiplied by, [outputs].

    >>> numbers, scale = _rounded(torch.tensor([[0.3, -0.6, 0.1], [0.02, 0.01, -0.05]]))
    >>> numbers.tolist()
    [[64, -127, 21], [51, 25, -127]]
    """
    scale = (weight.float().abs().amax(dim=1) / 127).clamp(min=1e-30)
    return (weight.float() / scale[:, None]).round().to(torch.int8), scale


def _int8(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    numbers, scale = _rounded(weight)

    def product(x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x.to(torch.bfloat16), numbers.to(torch.bfloat16)).float() * scale
        return y if bias is None else y + bias

    return product


def _int8_on_cpu(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    numbers, scale = _rounded(weight)
    none = torch.zeros(len(scale), dtype=torch.int64)
    with warnings.catch_warnings():  # it is to move to another package, and is still here
        warnings.simplefilter("ignore")
        whole = F.pad(numbers, (0, len(_ENDS)))
        kept = torch._make_per_channel_quantized_tensor(whole, scale.double(), none, 0)
        packed = torch.ops.quantized.linear_prepack(kept, None)
    ends, plain = torch.tensor([_ENDS]), numbers.numpy()
    worth = (scale * float(STEP)).numpy()
    # Without VNNI, sums of two products would overflow 16 bits: one bit less then.
    fewer_bits = not processor_features().get("avx512_vnni")

    def product(x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if is_one_row(x) and not fewer_bits:
            # The same whole numbers and the same roundings as below, so the same to the bit.
            whole, out = np.empty(len(plain[0]), np.int16), np.empty((1, len(plain)), np.float32)
            largest = torch.tensor(round_row(rows[0].numpy(), whole))
            whole_row(whole, plain, worth, np.empty(len(plain), np.int32), out[0])
            y = torch.from_numpy(out)
        else:
            # The infinite norm of ``torch.linalg`` takes 16 times as long.
            largest = rows.abs().amax(-1, keepdim=True).clamp_min_(1e-30)
            padded = torch.cat((rows / largest, ends.expand(len(rows), -1)), dim=1)
            y = torch.ops.quantized.linear_dynamic(padded, packed, fewer_bits)
        y = y.mul_(largest) if bias is None else torch.addcmul(bias, y, largest)
        return y.view(*x.shape[:-1], -1)

    return product


def _whole_numbers() -> bool:
    """Whether this machine has the product of whole numbers that is used here."""
    return torch.backends.quantized.engine in ("fbgemm", "x86")
