"""The step of one token, compiled, and on CUDA replayed as one graph of kernels.

    model = with_compiled_step(model)        # all that writes with it takes compiled steps now

``torch.compile`` fuses the operations of ``fixed_step`` into few kernels. It does so twice at the
most, for one row and for several: neither the length of the text nor the number of rows is a shape
that it must know. On CUDA even few kernels take longer to start than to run, so a step is recorded
as a CUDA graph and replayed by one call:

    step      1          2 … 64     65         66 … 128
    compile   once
    record    here                  here                   twice as much of the memory is read
    replay               these                 these

A graph holds addresses, so it is recorded anew for each memory, each power of two of rows and each
part of the memory that is read; it lives as long as the cache. Where compiling fails, steps
are taken as ever; where recording does, without graphs; and the listener is told why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch

from hornbook.compiled_call import CompiledCall, compiler_in_use, reason_of
from hornbook.listener import SILENT, Listener
from hornbook.models.base import LanguageModel, State
from hornbook.models.decode_parts import is_plain
from hornbook.models.decode_step import plain_step
from hornbook.models.few_rows_step import MOST_ROWS
from hornbook.models.fixed_step import fixed_step, power_of_two, read_length
from hornbook.models.kernel_parts import kernel_parts, kernels_are_quicker
from hornbook.models.kv_cache import KVCache
from hornbook.models.linear import Linear
from hornbook.models.transformer import Transformer
from hornbook.models.transformer_state import TransformerState

Model = TypeVar("Model", bound=LanguageModel)

WARM_UP_STEPS = 3
"""Steps before a graph is recorded: kernels are loaded and libraries take their memory."""


def with_compiled_step(
    model: Model, listener: Listener = SILENT, rows: Sequence[int] = ()
) -> Model:
    """The model itself, which writes by compiled steps from now on if it can.

    Args:
        model: on its device, with the weights that it keeps.
        listener: told why it cannot, or why compiling failed later.
        rows: numbers of texts that will be written together, to be compiled for at once; the
            others are when they come.
    """
    model.own_step = None
    obstacle = obstacle_to_compiling(model)
    if obstacle is not None:
        listener.notice(f"steps are not compiled: {obstacle}")
    elif isinstance(model, Transformer):
        step = model.own_step = CompiledStep(model, listener)
        if step.by_kernels and max(rows, default=1) <= step.by_kernels:
            listener.notice(
                f"steps of up to {step.by_kernels} texts are left to this model's kernels, which "
                "are quicker than compiled ones here"
            )
        # One row and several are all the difference; a thousand would ask for memory.
        for count in sorted({min(count, 2) for count in rows}):
            step.warm_up(model, count)
    return model


def obstacle_to_compiling(model: LanguageModel) -> str | None:
    """What stands against a compiled step, if anything that is known does."""
    if not isinstance(model, Transformer):
        return "only a transformer's can be"
    if not is_plain(model.config):
        return "this form of transformer has parts whose step has no fixed shapes"
    exact = all(part.exact for part in model.modules() if isinstance(part, Linear))
    if not exact and model.device.type == "cpu":
        return "weights in fewer bits are multiplied by kernels of their own on a CPU"
    return None


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A graph, and the tensors that it reads and writes; they must not be freed before it."""

    graph: Any
    inputs: tuple[torch.Tensor, ...]
    memory: list[torch.Tensor]
    logits: torch.Tensor


@dataclass
class _Graphs:
    """The graphs of one cache, by rows and by how much is read."""

    memory: list[torch.Tensor] = field(default_factory=list)
    found: dict[tuple[int, int], _Recorded] = field(default_factory=dict)

    def of(self, memory: list[torch.Tensor]) -> dict[tuple[int, int], _Recorded]:
        """Those that were recorded with ``memory``; others are forgotten."""
        if len(memory) != len(self.memory) or memory[0] is not self.memory[0]:
            self.memory, self.found = memory, {}
        return self.found


class CompiledStep:
    """Takes steps of one token with a plain transformer; see ``decode_step.NextStep``.

    On CUDA the logits of a step are overwritten by the next one.

    Args:
        model: the model; its weights must not move afterwards.
        listener: told why compiling or recording failed.

    Attributes:
        by_kernels: up to how many rows are not compiled, since kernels for them are quicker.
    """

    def __init__(self, model: Transformer, listener: Listener = SILENT) -> None:
        self._device, self._listener = model.device, listener
        self._windowed = [window > 0 for window in model.config.windows]
        self._eager = plain_step(model)
        # On a CPU a few rows have kernels that are quicker than what a compiler makes.
        has_kernels = kernels_are_quicker(model) and kernel_parts(model) is not None
        self.by_kernels = MOST_ROWS if has_kernels else 0
        self._met: set[bool] = set()
        on_cuda = self._device.type == "cuda"
        compiled = not on_cuda or find_spec("triton") is not None
        if not compiled:
            listener.notice("there is no Triton here: steps are recorded, and not compiled")
        self._call = CompiledCall(
            fixed_step(model), compiled=compiled, dynamic=None, what="writing", listener=listener
        )
        self._records = on_cuda
        self._graphs: WeakKeyDictionary[KVCache, _Graphs] = WeakKeyDictionary()

    @property
    def compiled(self) -> bool:
        """Whether steps are compiled, still."""
        return self._call.compiled

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of the model has weights of its own, and no step for them."""

    def __call__(self, tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """The newest tokens [rows, 1] and the state before them, to logits and the state after."""
        rows = len(tokens)
        if rows <= self.by_kernels or not (self._call.compiled or self._records):
            return self._eager(tokens, state)
        memory: TransformerState = state
        cache = memory.cache
        assert isinstance(cache, KVCache)
        cache.reserve_rows(power_of_two(rows))
        logits = self._logits(tokens.flatten(), cache, rows)
        cache.advance(1)
        return logits[:rows], memory

    def warm_up(self, model: Transformer, rows: int) -> None:
        """Compile for one row, or for several, before anybody waits for it."""
        with torch.inference_mode():
            tokens = torch.zeros(rows, 1, dtype=torch.int64, device=self._device)
            self(tokens, model.init_state(rows))

    def _logits(self, tokens: torch.Tensor, cache: KVCache, rows: int) -> torch.Tensor:
        idle = power_of_two(rows) - rows
        lengths = [*cache.lengths, *[cache.length] * idle]
        places = [cache.place_of_one(layer) for layer in range(len(self._windowed))]
        memory = cache.memory()
        read = self._read_length(places, memory)
        if idle:
            tokens = torch.cat((tokens, tokens.new_zeros(idle)))
        inputs = tokens, self._tensor(lengths), self._tensor(places)
        if self._records:
            graphs = self._graphs.setdefault(cache, _Graphs()).of(memory)
            recorded = graphs.get((len(lengths), read))
            try:
                recorded = recorded or self._record(inputs, read, memory)
                graphs[len(lengths), read] = recorded
            except Exception as error:
                self._records = False
                self._listener.notice(
                    f"a step could not be recorded ({reason_of(error)}); writing goes on without"
                )
            else:
                return _replay(recorded, inputs)
        return self._compute(inputs, read, memory)

    def _read_length(
        self, places: Sequence[tuple[int, int]], memory: Sequence[torch.Tensor]
    ) -> int:
        """How much of their memory layers without a window read."""
        whole = [layer for layer, windowed in enumerate(self._windowed) if not windowed]
        if not whole:
            return 2
        own = max(places[layer][1] for layer in whole)
        return read_length(own, memory[2 * whole[0]].shape[2])

    def _compute(
        self, inputs: tuple[torch.Tensor, ...], read: int, memory: list[torch.Tensor]
    ) -> torch.Tensor:
        tokens, lengths, places = inputs
        rows = len(tokens)
        vectors = [each[:rows] for each in memory]
        seen = torch.arange(read, device=self._device)
        several, arguments = rows > 1, (tokens, lengths, places, seen, vectors)
        if not self._call.compiled:
            return self._call(*arguments)
        from torch._dynamo.decorators import (  # takes a second to import
            mark_unbacked,
            maybe_mark_dynamic,
        )

        # A length of which nothing may be supposed, not even that it is less than all.
        mark_unbacked(seen, 0)
        if several:
            for tensor in (tokens, lengths, *vectors):
                maybe_mark_dynamic(tensor, 0)
        try:
            with compiler_in_use(compiled=several not in self._met):
                logits = self._call(*arguments)
        except Exception as error:
            if not self._call.go_on_without(error):
                raise
            # What is written into the memory is the same again.
            return self._call(*arguments)
        self._met.add(several)
        return logits

    def _record(
        self, inputs: tuple[torch.Tensor, ...], read: int, memory: list[torch.Tensor]
    ) -> _Recorded:
        """Record a step on CUDA; a step writes the same however often it is taken."""
        inputs = tuple(tensor.clone() for tensor in inputs)
        # Libraries prepare themselves for a stream, so that of the warm-up is recorded as well.
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._compute(inputs, read, memory)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as a server's, may ask CUDA for memory meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            logits = self._compute(inputs, read, memory)
        return _Recorded(graph, inputs, memory, logits)

    def _tensor(self, numbers: Sequence[Any]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.int64, device=self._device)


def _replay(recorded: _Recorded, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    for mine, new in zip(recorded.inputs, inputs, strict=True):
        mine.copy_(new)
    recorded.graph.replay()
    return recorded.logits
