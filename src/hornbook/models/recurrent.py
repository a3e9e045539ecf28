"""Recurrent networks: read one token after the other and carry what matters along.

    tokens [batch, time]
      │  token embedding                                           [batch, time, d_model]
      │  ┌─ cell ─► cell ─► cell ─► …   one step a token; its
      ├──┴─ +      hidden vector goes on to the next token         × layers
      ▼  head                                                      [batch, time, vocab_size]

With x the input of a token, h the hidden vector and σ the logistic function, a cell computes

    rnn    h' = tanh(W x + U h + b)                                        (Elman, 1990)
    gru    r, z = σ(…), σ(…);  n = tanh(W x + b + r (U h + d))
           h' = (1 - z) n + z h                                            (Cho et al., 2014)
    lstm   i, f, o = σ(…), σ(…), σ(…);  g = tanh(…)
           c' = f c + i g;  h' = o tanh(c')             (Hochreiter and Schmidhuber, 1997;
                                       the forget gate f is of Gers, Schmidhuber, Cummins, 2000)

PyTorch's own kernels run them. The state is all that the model knows of the tokens before:
the same size after ten of them and after a million, so there is no context to run out of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from hornbook.models.base import CarriedState, LanguageModel, State
from hornbook.models.initialisation import generator_of
from hornbook.settings import Settings


class _RecurrentConfig(Settings):
    """What the three kinds have in common."""

    # Each kind narrows it, which is sound because settings are frozen; it stands here so
    # that it comes first wherever settings are listed.
    kind: Literal["rnn", "gru", "lstm"]
    """Which cell."""

    layers: int = Field(default=2, ge=1, le=1000)
    """Recurrent layers, one upon the other."""

    d_model: int = Field(default=128, ge=1, le=1 << 16)
    """Width of a token's vector and of each layer's hidden vector [numbers]."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of embeddings and of each layer's outputs zeroed in training; what goes from token
    to token is left alone."""

    residual: bool = True
    """Whether each layer but the first adds its input to its output; without, a deep stack
    hardly begins to learn."""

    tied_head: bool = True
    """Whether the head uses the token embedding's weights, transposed."""


class RNNConfig(_RecurrentConfig):
    """The plain recurrent network."""

    kind: Literal["rnn"] = "rnn"  # pyright: ignore[reportIncompatibleVariableOverride]
    """A plain recurrent network: the new hidden vector is a tanh of the old one and the token."""


class GRUConfig(_RecurrentConfig):
    """The gated recurrent unit."""

    kind: Literal["gru"] = "gru"  # pyright: ignore[reportIncompatibleVariableOverride]
    """A recurrent network with two gates, which say what of the hidden vector is renewed."""


class LSTMConfig(_RecurrentConfig):
    """Long short-term memory."""

    kind: Literal["lstm"] = "lstm"  # pyright: ignore[reportIncompatibleVariableOverride]
    """A recurrent network with three gates and a memory cell beside the hidden vector."""


RecurrentConfig = RNNConfig | GRUConfig | LSTMConfig


# What brings a deep stack to life: the loss of 4 LSTM layers, 96 wide, on bytes of
# tinyshakespeare after 120 steps of 16 windows of 64 (at 3.34 it knows no more than
# how frequent each byte is).
#   plain stack: 3.34; with scaled embeddings: 3.34; with residual layers as well: 2.17
#   2 layers, in the same order: 3.29, 2.51, 2.25; 4 GRU layers: 3.34, 2.68, 2.06
# Residual layers of LSTMs are those of Wu et al. (2016, "Google's Neural Machine Translation
# System", section 3.1). If the first layer adds its input too, the loss begins at 8.5.


class Recurrent(LanguageModel):
    """A plain RNN, a GRU or an LSTM; its state is (h,), and of an LSTM (h, c).

    Positions are not read, since the order is in the reading. Where a new segment begins in a
    row, the state starts afresh; so the text before it, or padding that is a segment of its
    own, changes nothing that follows. With a state and segments, the first segment of each
    row goes on from the state.

    Args:
        config: kind and sizes.
        vocab_size: how many ids.
    """

    carries_state = True

    def __init__(self, config: RecurrentConfig, *, vocab_size: int) -> None:
        super().__init__(vocab_size, context_length=None)
        self.config = config
        kernel = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[config.kind]
        self.token_embedding = nn.Embedding(vocab_size, config.d_model)
        self._embedding_scale = config.d_model**0.5
        # One module a layer, and dropout between them by hand: cuDNN's own dropout keeps a
        # random state that PyTorch's seed does not reset, so a resumed run would differ.
        self.layers = nn.ModuleList(
            kernel(config.d_model, config.d_model, batch_first=True) for _ in range(config.layers)
        )
        gates = {"rnn": 1, "gru": 3, "lstm": 4}[config.kind]
        self.joint_rows = {
            f"layers.{number}.weight_{source}_l0": (config.d_model,) * gates
            for number in range(config.layers)
            for source in ("ih", "hh")
        }
        self.dropout = nn.Dropout(config.dropout)
        self.output_head = nn.Linear(config.d_model, vocab_size, bias=False)
        if config.tied_head:
            self.output_head.weight = self.token_embedding.weight

    def hidden(
        self,
        tokens: torch.Tensor,
        state: State = None,
        *,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """[batch, time] ids to [batch, time, d_model]; see ``LanguageModel.hidden``."""
        order = None if segments is None else SegmentOrder.of(segments)
        before: CarriedState | None = state
        x = self.dropout(self.token_embedding(tokens) * self._embedding_scale)
        after = []
        for number, layer in enumerate(self.layers):
            begin = None if before is None else tuple(part[number][None] for part in before)
            y, end = _run_layer(layer, x, begin, order)
            adds = self.config.residual and number > 0
            x = x + self.dropout(y) if adds else self.dropout(y)
            after.append(end)
        if before is None:
            return x, None
        return x, tuple(torch.cat(parts) for parts in zip(*after, strict=True))

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """[..., d_model] to [..., vocab_size] logits."""
        return self.output_head(features)

    def init_state(self, batch_size: int, device: torch.device | None = None) -> CarriedState:
        """Zeros: nothing has been read."""
        shape = (self.config.layers, batch_size, self.config.d_model)
        weight = self.token_embedding.weight
        return tuple(
            torch.zeros(shape, device=device or self.device, dtype=weight.dtype)
            for _ in range(2 if self.config.kind == "lstm" else 1)
        )

    def initialise(self, generator: torch.Generator) -> None:
        """Orthogonal recurrent matrices, Glorot input matrices, forget gates that begin open.

        Each gate's recurrent matrix is orthogonal, so that a hidden vector neither grows nor
        fades as it goes from token to token (Saxe et al., 2014, "Exact solutions to the
        nonlinear dynamics of learning"); each gate's input matrix is uniform after Glorot and
        Bengio (2010). Biases are zero, but 1 at the LSTM's forget gate, which lets gradients
        pass from the start (Jozefowicz et al., 2015, "An Empirical Exploration of Recurrent
        Network Architectures"). Embedding and head are normal with variance 1 / d_model, as
        suits a head; tokens come in multiplied by the root of d_model (Vaswani et al., 2017,
        section 3.4). Each tensor has a stream of its own, as in ``initialisation``.
        """
        deviation = self.config.d_model**-0.5
        for name, parameter in self.named_parameters():
            drawn = generator_of(generator, name)
            if "weight_hh" in name:
                for gate in parameter.split(self.config.d_model):
                    nn.init.orthogonal_(gate, generator=drawn)
            elif "weight_ih" in name:
                for gate in parameter.split(self.config.d_model):
                    nn.init.xavier_uniform_(gate, generator=drawn)
            elif "bias" in name:
                nn.init.zeros_(parameter)
                if self.config.kind == "lstm" and "bias_ih" in name:
                    # PyTorch's order of gates is i, f, g, o, and each has two biases: one is 1.
                    nn.init.ones_(parameter.split(self.config.d_model)[1])
            else:
                nn.init.normal_(parameter, std=deviation, generator=drawn)


@dataclass(frozen=True, slots=True)
class SegmentOrder:
    """Every segment of every row as a sequence of its own, in the order that kernels read.

    The first tokens of all segments come first, longest segment ahead, then their second
    tokens, and so on. Nothing is padded, and the steps are as many as the longest segment has
    tokens.

    Attributes:
        tokens: [batch × time] ``int64``, which token of the flattened rows comes when.
        steps: [longest segment] ``int64`` on the CPU, how many tokens each step has.
        first, last: [batch] ``int64``, which sequence each row begins and ends with.
    """

    tokens: torch.Tensor
    steps: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor

    @classmethod
    def of(cls, segments: torch.Tensor) -> SegmentOrder:
        """Find the order for ``segments`` [batch, time]; a change of number begins a segment.

        >>> order = SegmentOrder.of(torch.tensor([[5, 5, 5, 8]]))
        >>> order.tokens.tolist(), order.steps.tolist()
        ([0, 3, 1, 2], [2, 1, 1])
        """
        begins = torch.ones_like(segments, dtype=torch.bool)
        begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
        owner = begins.flatten().cumsum(0) - 1
        starts = begins.flatten().nonzero()[:, 0]
        place = torch.arange(len(owner), device=segments.device) - starts[owner]
        by_length = owner.bincount().argsort(descending=True, stable=True)
        rank = torch.empty_like(by_length)
        rank[by_length] = torch.arange(len(rank), device=segments.device)
        sequence = rank[owner]
        rows = sequence.view_as(segments)
        return cls(
            tokens=(place * len(rank) + sequence).argsort(),
            steps=place.bincount().cpu(),
            first=rows[:, 0],
            last=rows[:, -1],
        )


def _run_layer(
    layer: nn.Module, x: torch.Tensor, state: CarriedState | None, order: SegmentOrder | None
) -> tuple[torch.Tensor, CarriedState]:
    """One layer over [batch, time, d_model]; the states are [1, batch, d_model] each."""
    if order is None:
        y, end = layer(x, _as_kernel(state))
        return y, end if isinstance(end, tuple) else (end,)
    packed = PackedSequence(x.flatten(0, 1)[order.tokens], order.steps)
    sequences = int(order.steps[0])
    if state is not None:
        state = tuple(
            part.new_zeros(1, sequences, part.shape[2]).index_copy(1, order.first, part)
            for part in state
        )
    run, end = layer(packed, _as_kernel(state))
    y = torch.empty_like(run.data).index_copy(0, order.tokens, run.data).view_as(x)
    parts = end if isinstance(end, tuple) else (end,)
    return y, tuple(part[:, order.last] for part in parts)


def _as_kernel(state: CarriedState | None) -> torch.Tensor | CarriedState | None:
    """PyTorch takes one tensor for one part of a state, and a tuple for two."""
    return state[0] if state is not None and len(state) == 1 else state
