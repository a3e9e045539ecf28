"""Documents in one row do not know of each other, whatever the model and the way of attention."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention

from hornbook.data import (
    ExampleOrder,
    LineIds,
    LineWindows,
    PackedBatches,
    PackedWindows,
    Positions,
    TokenSequence,
    TrainingBatches,
)
from hornbook.data.packing import Packing
from hornbook.data.positions import PositionMeaning
from hornbook.models import (
    BigramConfig,
    GRUConfig,
    LanguageModel,
    LSTMConfig,
    ModelConfig,
    RNNConfig,
    TransformerConfig,
    attention_paths,
    block_attention,
    build_model,
    transformer,
)
from hornbook.models.attention_paths import AttentionPath, attention_path
from hornbook.models.block_attention import sawtooth_blocks
from hornbook.models.document_layout import DocumentLayout
from hornbook.models.masks import sawtooth
from hornbook.optimization import cross_entropy_sum
from hornbook.targets import PADDING_SEGMENT

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")

VOCAB, CONTEXT, END, PAD = 61, 24, 0, 60
SIZES = [9, 30, 5, 1, 14, 7, 3, 24, 11, 6, 2]

MODERN = TransformerConfig(layers=2, heads=4, kv_heads=2, d_model=32, position_count=40)
GPT2 = TransformerConfig(
    layers=2,
    heads=4,
    d_model=32,
    position_count=40,
    positions="learned",
    norm="layernorm",
    feedforward="gelu",
    bias=True,
)
NEAR = MODERN.model_copy(
    update={"window": 4, "window_layers": "alternate", "qk_norm": True, "attention_softcap": 3.0}
)
FADING = TransformerConfig(layers=2, heads=4, d_model=32, positions="alibi", window=6)
LATENT = TransformerConfig(layers=2, heads=2, d_model=32, position_count=40, attention="mla")
TRANSFORMERS = [MODERN, GPT2, NEAR, FADING, LATENT]
OTHERS: list[ModelConfig] = [
    RNNConfig(d_model=16),
    GRUConfig(d_model=16),
    LSTMConfig(d_model=16),
    BigramConfig(),
]
PATHS: tuple[AttentionPath, ...] = ("masked", "documents", "blocks")
STRATEGIES = ["split", "best_fit", "left_padded", "slide_through"]
CHANGES: list[tuple[str, int, PositionMeaning]] = [
    ("split", 1, "window"),
    ("best_fit", 8, "line"),
    ("left_padded", 4, "random"),
    ("slide_through", 1, "line"),
]
Force = Callable[[AttentionPath], None]


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Force:
    """Make every batch with segments take one way."""

    def choose(path: AttentionPath) -> None:
        def chosen(*, segmented: bool, **_: Any) -> AttentionPath:
            return path if segmented else "causal"

        monkeypatch.setattr(transformer, "attention_path", chosen)

    return choose


def build(config: ModelConfig) -> LanguageModel:
    model = build_model(config, vocab_size=VOCAB, context_length=CONTEXT, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(8)  # so that a wrong mask shows clearly
            if isinstance(config, BigramConfig):
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    return model.eval()


def sequence_of(changed: int | None = None) -> TokenSequence:
    """Documents of ``SIZES``; all tokens of the document ``changed`` are others."""
    ends = np.cumsum(SIZES)
    tokens = np.random.default_rng(5).integers(1, 50, ends[-1]).astype(np.uint16)
    if changed is not None:
        document = slice(ends[changed] - SIZES[changed], ends[changed])
        tokens[document] = 50 - tokens[document]
    tokens[ends - 1] = END
    return TokenSequence([tokens], ends)


def batches_of(
    sequence: TokenSequence, strategy: str, meaning: PositionMeaning = "window"
) -> TrainingBatches | PackedBatches:
    positions = Positions(meaning, 40 - CONTEXT, 3)
    ends = sequence.document_ends
    if strategy in get_args(Packing):
        packing: Any = strategy
        windows = PackedWindows(ends, CONTEXT, packing, seed=2)
        return PackedBatches(sequence, windows, ExampleOrder(len(windows), 1), PAD, positions)
    by_line: Any = strategy
    lines = LineWindows(ends, CONTEXT, 1, by_line)
    order = ExampleOrder(len(lines), 1)
    return TrainingBatches(sequence, lines, order, positions, LineIds(END, PAD))


def logits_of(model: LanguageModel, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(batch.tokens, positions=batch.positions, segments=batch.segments)[0]


WAYS: list[tuple[ModelConfig, AttentionPath]] = [
    *itertools.product(TRANSFORMERS, PATHS),
    *((config, "masked") for config in OTHERS),
]


@pytest.mark.parametrize(("strategy", "changed", "meaning"), CHANGES)
@pytest.mark.parametrize(("config", "path"), WAYS, ids=str)
def test_another_document_changes_nothing_to_the_bit(
    force: Force,
    config: ModelConfig,
    path: AttentionPath,
    strategy: str,
    changed: int,
    meaning: PositionMeaning,
) -> None:
    force(path)
    model = build(config)
    rows = 5 if strategy in get_args(Packing) else 80
    before, after = (
        batches_of(sequence_of(document), strategy, meaning).batch(0, rows)
        for document in (None, changed)
    )
    assert before.segments is not None
    same = before.tokens == after.tokens
    keys = torch.arange(rows)[:, None] * 100 + before.segments
    touched = torch.isin(keys, keys[~same])
    assert touched.any()
    assert not touched.all()
    found, other = logits_of(model, before), logits_of(model, after)
    untouched = ~touched & (before.segments != PADDING_SEGMENT)
    assert torch.equal(found[untouched], other[untouched])
    assert not torch.equal(found[touched], other[touched])


@pytest.mark.parametrize("packing", get_args(Packing))
@pytest.mark.parametrize(("config", "path"), WAYS, ids=str)
def test_the_loss_of_a_packed_document_is_that_of_the_document_alone(
    force: Force, config: ModelConfig, path: AttentionPath, packing: str
) -> None:
    force(path)
    model = build(config)
    batches = batches_of(sequence_of(), packing)
    batch = batches.batch(0, len(batches.windows))
    assert batch.segments is not None
    logits = logits_of(model, batch)
    total, count = 0.0, 0
    for row, segments in enumerate(batch.segments):
        for number in segments.unique().tolist():
            if number == PADDING_SEGMENT:
                continue
            inside = segments == number
            tokens, targets = batch.tokens[row][inside], batch.targets[row][inside]
            with torch.no_grad():
                alone = cross_entropy_sum(model(tokens[None])[0], targets[None])
            packed = cross_entropy_sum(logits[row][inside][None], targets[None])
            torch.testing.assert_close(packed, alone, atol=1e-4, rtol=1e-5)
            total, count = total + alone.item(), count + len(targets)
    assert count == batch.real_targets == sum(SIZES)
    assert cross_entropy_sum(logits, batch.targets).item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("config", TRANSFORMERS, ids=str)
def test_every_way_is_the_dense_mask(
    force: Force, config: TransformerConfig, strategy: str
) -> None:
    batch = batches_of(sequence_of(), strategy, "line").batch(0, 9)
    assert batch.segments is not None
    real = batch.segments != PADDING_SEGMENT
    found: dict[str, torch.Tensor] = {}
    for path in PATHS:
        force(path)
        found[path] = logits_of(build(config), batch)[real]
    for path in PATHS:
        torch.testing.assert_close(found[path], found["masked"], atol=2e-4, rtol=1e-4)

    gradients = []
    for path in ("masked", "documents"):
        force(path)
        model = build(config).train()
        logits, _ = model(batch.tokens, positions=batch.positions, segments=batch.segments)
        (cross_entropy_sum(logits, batch.targets) / batch.real_targets).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("path", ["masked", "documents"])
def test_dropout_is_drawn_from_the_seed_on_every_way(force: Force, path: AttentionPath) -> None:
    force(path)
    changes = {"dropout": 0.2, "attention_dropout": 0.3}
    model = build(MODERN.model_copy(update=changes)).train()
    batch = batches_of(sequence_of(), "best_fit").batch(0, 4)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(logits_of(model, batch))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert all(torch.isfinite(logits).all() for logits in found)


def segments_of(seed: int, batch: int, time: int) -> torch.Tensor:
    """Rows of random documents, some with padding at an end."""
    draw = np.random.default_rng(seed)
    lengths = [draw.integers(1, 60, time) for _ in range(batch)]
    rows = np.stack([np.repeat(np.arange(time), row)[:time] for row in lengths])
    rows[0, -time // 4 :] = PADDING_SEGMENT
    rows[-1, : time // 3] = PADDING_SEGMENT
    return torch.from_numpy(rows)


@pytest.mark.parametrize("time", [1, 7, 64, 129])
def test_the_mask_and_the_layout_are_those_of_a_slow_look(time: int) -> None:
    segments = segments_of(time, 3, time)
    runs = [[list(run) for _, run in itertools.groupby(row)] for row in segments.tolist()]
    layout = DocumentLayout.of(segments)
    lengths = [len(run) for row in runs for run in row if run[0] != PADDING_SEGMENT]
    assert sum(count for count, _ in layout.rectangles) == len(lengths)
    assert len(layout.slots) == sum(lengths)
    assert [width for _, width in layout.rectangles] == sorted(
        (width for _, width in layout.rectangles), reverse=True
    )
    places = torch.arange(3 * time).view(3, time)
    back = layout.put_back(layout.lay_out(places)[..., None])[..., 0]
    assert torch.equal(back, torch.where(segments == PADDING_SEGMENT, 0, places))
    mask = sawtooth(segments)
    for row, query, key in itertools.product(range(3), range(time), range(time)):
        same = segments[row, query] == segments[row, key]
        assert mask[row, query, key] == (same and key <= query)


@pytest.mark.parametrize("time", [100, 128, 500])
def test_blocks_hold_what_the_mask_holds(time: int) -> None:
    segments = segments_of(time + 1, 3, time)
    segments[1] = 0
    blocks = sawtooth_blocks(segments)
    size = block_attention.BLOCK
    count = -(-time // size)
    mask = torch.nn.functional.pad(sawtooth(segments), (0, count * size - time) * 2)
    shares = mask.view(3, count, size, count, size).float().mean((2, 4))
    mixed, full = torch.zeros(3, count, count), torch.zeros(3, count, count)
    for found, counts, which in (
        (mixed, blocks.kv_num_blocks, blocks.kv_indices),
        (full, blocks.full_kv_num_blocks, blocks.full_kv_indices),
    ):
        assert counts is not None
        assert which is not None
        for row, query in itertools.product(range(3), range(count)):
            found[row, query, which[row, 0, query, : counts[row, 0, query]].long()] = 1
    assert torch.equal(full, (shares == 1).float())
    assert torch.equal(mixed, ((shares > 0) & (shares < 1)).float())


def test_another_batch_is_not_compiled_anew() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(flex_attention, dynamic=False, backend="eager")
    draw = torch.Generator().manual_seed(1)
    with torch._dynamo.config.patch(error_on_recompile=True), torch.no_grad():
        for seed in range(3):
            segments = segments_of(seed, 2, 200)
            query, key, value = (torch.randn(2, 2, 200, 16, generator=draw) for _ in range(3))
            found = compiled(query, key, value, block_mask=sawtooth_blocks(segments))
            expected = attention_paths.masked_attention(sawtooth(segments)[:, None])
            torch.testing.assert_close(found, expected(query, key, value, 0.0), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        ("causal", {"segmented": False, "device": "cpu", "time": 4096}),
        ("causal", {"segmented": False, "device": "cuda", "time": 4096}),
        ("masked", {"device": "cpu", "time": 64}),
        ("documents", {"device": "cpu", "time": 64, "filled": 0.4}),
        ("masked", {"device": "cpu", "time": 16, "filled": 0.4}),
        ("masked", {"device": "cpu", "time": 512, "filled": 0.0}),
        ("documents", {"device": "cpu", "time": 512}),
        ("masked", {"device": "mps", "time": 4096}),
        ("masked", {"device": "cuda", "time": 512}),
        ("blocks", {"device": "cuda", "time": 1024}),
        ("masked", {"device": "cuda", "time": 4096, "head_size": 24}),
        ("masked", {"device": "cuda", "time": 4096, "attention_dropout": 0.1}),
        ("masked", {"device": "cuda", "time": 4096, "can_compile": False}),
    ],
)
def test_the_way_is_chosen_by_row_and_head(expected: str, facts: dict[str, Any]) -> None:
    assert attention_path(**{"segmented": True, "head_size": 64, **facts}) == expected
    assert attention_paths.BLOCKED_HEAD_SIZES[0] >= 16
