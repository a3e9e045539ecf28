"""What a token sees: windows, ALiBi and capped scores against loops, on every way of computing."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.utils._python_dispatch import TorchDispatchMode

from hornbook.models import window_pairs
from hornbook.models.alibi import alibi_slopes, distance_bias
from hornbook.models.attention_paths import AttentionPath, attention_path
from hornbook.models.block_attention import BLOCK, block_attention, sawtooth_blocks
from hornbook.models.document_layout import DocumentLayout
from hornbook.models.dot_product import dot_product_attention
from hornbook.models.masks import band, sawtooth
from hornbook.models.sight import Sight
from hornbook.models.soft_cap import capped_attention
from hornbook.targets import PADDING_SEGMENT

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")

HEADS, KV_HEADS, SIZE, TIME = 6, 2, 8, 21
SEGMENTS = torch.tensor(
    [[0] * 9 + [1] * 12, [3] * 2 + [4] * 1 + [5] * 14 + [-1] * 4, [-1] * 8 + [0] * 13]
)
RULES: list[dict[str, Any]] = [
    {"window": window, "alibi_heads": alibi, "cap": cap}
    for window, alibi, cap in itertools.product((0, 1, 4), (0, HEADS), (0.0, 1.5))
]


def heads_of(seed: int, batch: int = 3, time: int = TIME) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(
        3 * torch.randn(batch, heads, time, SIZE, generator=draw)
        for heads in (HEADS, KV_HEADS, KV_HEADS)
    )


def sight_of(window: int, alibi_heads: int, cap: float) -> Sight:
    return Sight(TIME + 3, windows=[0, window], alibi_heads=alibi_heads, cap=cap)


def by_loops(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: torch.Tensor,
    *,
    window: int,
    alibi_heads: int,
    cap: float,
) -> torch.Tensor:
    """Attention as one would compute it by hand, a number at a time; padding gives zeros."""
    found = torch.zeros_like(query)
    slopes = alibi_slopes(alibi_heads).tolist() if alibi_heads else [0.0] * HEADS
    for row, head, asking in itertools.product(*map(range, query.shape[:3])):
        shared = head // (HEADS // key.shape[1])
        if segments[row, asking] == PADDING_SEGMENT:
            continue
        scores = {}
        for asked in range(asking + 1):
            distance = asking - asked
            if segments[row, asked] != segments[row, asking] or 0 < window <= distance:
                continue
            score = float(query[row, head, asking] @ key[row, shared, asked]) / math.sqrt(SIZE)
            if cap:
                score = cap * math.tanh(score / cap)
            scores[asked] = score - slopes[head] * distance
        total = sum(math.exp(score) for score in scores.values())
        for asked, score in scores.items():
            found[row, head, asking] += math.exp(score) / total * value[row, shared, asked]
    return found


@pytest.mark.parametrize("shortest", [2, 128])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_way_is_the_loops(
    rule: dict[str, Any], shortest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_pairs, "SHORTEST_PAIRED_ROW", shortest)
    query, key, value = heads_of(1)
    expected = by_loops(query, key, value, SEGMENTS, **rule)
    sight, layout = sight_of(**rule), DocumentLayout.of(SEGMENTS)
    real = (SEGMENTS != PADDING_SEGMENT)[:, None, :, None]
    for path in ("masked", "blocks"):
        attend = sight.attends(path, time=TIME, segments=SEGMENTS)[1]
        found = attend(query, key, value, 0.0) * real
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)

    laid_out = [heads.transpose(1, 2).flatten(0, 1)[layout.sources][None] for heads in heads_of(1)]
    attend = sight.attends("documents", time=TIME, layout=layout)[1]
    found = attend(*(heads.transpose(1, 2) for heads in laid_out), 0.0)  # type: ignore[call-arg]
    back = layout.put_back(found.transpose(1, 2).flatten(2)).unflatten(-1, (HEADS, SIZE))
    torch.testing.assert_close(back.transpose(1, 2), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rows_in_order_are_the_loops_whole_and_behind_a_cache(rule: dict[str, Any]) -> None:
    query, key, value = heads_of(2, batch=1)
    one = torch.zeros(1, TIME, dtype=torch.int64)
    expected = by_loops(query, key, value, one, **rule)
    sight = sight_of(**rule)
    whole = sight.attends("causal", time=TIME)[1](query, key, value, 0.0)
    torch.testing.assert_close(whole, expected, atol=2e-5, rtol=1e-4)
    seen = 0
    for time in (5, 1, 1, 9, 2, 3):
        last = seen + time
        first = max(0, seen - rule["window"] + 1) if rule["window"] else 0
        attend = sight.attends("causal", time=time, seen=seen)[1]
        part = attend(query[:, :, seen:last], key[:, :, first:last], value[:, :, first:last], 0.0)
        torch.testing.assert_close(part, expected[:, :, seen:last], atol=2e-5, rtol=1e-4)
        seen = last


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kv_heads", [1, 2, 3])
def test_heads_that_share_keys_may_ask_together(kv_heads: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(6)
    query = torch.randn(2, HEADS, 1, SIZE, generator=draw)
    key, value = (torch.randn(2, kv_heads, 40, SIZE, generator=draw) for _ in range(2))
    rows, seen = torch.randn(2, HEADS, 1, 40, generator=draw), torch.arange(40) > 7
    for mask in (
        None,
        seen.expand(1, 40),
        rows,
        rows[0],
        rows[:, :1] > 0,
        seen.expand(2, 1, 1, 40),
    ):
        many = [part.repeat_interleave(HEADS // kv_heads, 1) for part in (key, value)]
        expected = dot_product_attention(query, *many, mask=mask)
        low = mask.to(dtype) if mask is not None and mask.dtype != torch.bool else mask
        found = dot_product_attention(query.to(dtype), key.to(dtype), value.to(dtype), mask=low)
        near = 1e-5 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(found.float(), expected, atol=near, rtol=near)


@pytest.mark.parametrize("shortest", [2, 128])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule["window"] > 1], ids=str)
def test_pairs_of_windows_are_the_mask(
    rule: dict[str, Any], shortest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_pairs, "SHORTEST_PAIRED_ROW", shortest)
    window, sight = rule["window"], Sight(150, windows=[rule["window"]], **_others(rule))
    for time in (1, 3, window, window + 1, 2 * window - 1, 2 * window, 3 * window, 25, 128, 149):
        found = {}
        for name in ("causal", "masked"):
            heads = [part.requires_grad_() for part in heads_of(time, time=time)]
            alone = torch.zeros(3, time, dtype=torch.int64)
            path: Any = name
            attend = sight.attends(path, time=time, segments=alone)[0]
            result = attend(*heads, 0.0)  # type: ignore[call-arg]
            result.square().sum().backward()
            found[name] = result, *(part.grad for part in heads)
        for ours, exact in zip(found["causal"], found["masked"], strict=True):
            torch.testing.assert_close(ours, exact, atol=5e-4, rtol=1e-3)


def _others(rule: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rule.items() if name != "window"}


def test_a_long_row_needs_no_square_of_its_own() -> None:
    time, window, largest = 2048, 32, 0

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    sight = Sight(time, windows=[window], alibi_heads=HEADS, cap=2.0)
    heads = heads_of(7, batch=1, time=time)
    with Watching(), torch.no_grad():
        sight.attends("causal", time=time)[0](*heads, 0.0)  # type: ignore[call-arg]
    assert largest <= HEADS * time * 2 * window


def test_layers_share_what_is_made() -> None:
    sight = Sight(TIME, windows=[4, 0, 4, 0, 4], alibi_heads=HEADS)
    made = sight.attends("masked", time=TIME, segments=SEGMENTS)
    assert made[0] is made[2] is made[4]
    assert made[1] is made[3] is not made[0]
    short = sight.attends("causal", time=4)
    assert all(way is short[0] for way in short)


def test_a_window_as_long_as_the_row_is_none_to_the_bit() -> None:
    heads = heads_of(3)
    with_window, without = (Sight(TIME, windows=[window]) for window in (TIME, 0))
    found, expected = (
        sight.attends("causal", time=TIME)[0](*heads, 0.0)  # type: ignore[call-arg]
        for sight in (with_window, without)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 7, 8, 12, 16, 25])
def test_slopes_are_those_of_transformers(heads: int) -> None:
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    table = bloom.build_alibi_tensor(torch.ones(1, 2, dtype=torch.int64), heads, torch.float32)
    torch.testing.assert_close(alibi_slopes(heads), table.view(heads, 2)[:, 1])


def test_the_bias_grows_with_distance() -> None:
    bias = distance_bias(torch.tensor([0.5, 0.25]), torch.arange(7), 3)
    for head, query, key in itertools.product(range(2), range(3), range(7)):
        assert bias[head, query, key] == (key - (query + 4)) * (0.5, 0.25)[head]


@pytest.mark.parametrize("window", [0, 1, 3, 8, 20])
def test_a_band_is_what_a_slow_look_finds(window: int) -> None:
    mask = band(8, window)
    for query, key in itertools.product(range(8), range(8)):
        assert mask[query, key] == (0 <= query - key < (window or 8))


def test_no_score_reaches_the_cap_and_small_ones_stay() -> None:
    query, key, value = heads_of(4)
    exact = torch.nn.functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    for cap in (0.0, 1e6):
        found = capped_attention(query, key, value, None, cap=cap)
        torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-3)
    # Scores in (-cap, cap) give weights that differ by a factor of exp(2 cap) at most.
    value = torch.eye(TIME)[:, :SIZE].expand(3, KV_HEADS, TIME, SIZE)
    weights = capped_attention(100 * query, key, value, None, cap=0.5)
    spread = weights.amax(-1) / weights.amin(-1)
    assert spread.max() <= math.exp(1.0) + 1e-3
    assert spread.max() > 2.7


@pytest.mark.parametrize("window", [1, 5, 64, 128, 129, 200, 300])
@pytest.mark.parametrize("time", [100, 384, 500])
def test_blocks_hold_what_mask_and_band_hold(time: int, window: int) -> None:
    ends = torch.tensor([[time, time], [time // 3, time - 40]])
    segments = (torch.arange(time)[None] >= ends[:, :1]).long()
    segments += torch.arange(time)[None] >= ends[:, 1:]
    blocks = sawtooth_blocks(segments, window)
    count = -(-time // BLOCK)
    dense = sawtooth(segments) & band(time, window)
    room = torch.nn.functional.pad(dense, (0, count * BLOCK - time) * 2)
    shares = room.view(2, count, BLOCK, count, BLOCK).float().mean((2, 4))
    assert blocks.full_kv_num_blocks is not None
    assert blocks.full_kv_indices is not None
    for row, query in itertools.product(range(2), range(count)):
        full = blocks.full_kv_indices[row, 0, query, : blocks.full_kv_num_blocks[row, 0, query]]
        mixed = blocks.kv_indices[row, 0, query, : blocks.kv_num_blocks[row, 0, query]]
        assert (shares[row, query, full.long()] == 1).all()
        computed = sorted([*full.tolist(), *mixed.tolist()])
        assert computed == (shares[row, query] > 0).nonzero().flatten().tolist()
        assert (shares[row, query] == 1).sum() == len(full)


def test_another_batch_with_every_rule_is_not_compiled_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(flex_attention, dynamic=False, backend="eager")
    monkeypatch.setattr("hornbook.models.block_attention._kernel", lambda device: compiled)
    sight = Sight(200, windows=[40], alibi_heads=HEADS, cap=2.0)
    with torch._dynamo.config.patch(error_on_recompile=True), torch.no_grad():
        for seed in range(3):
            segments = torch.arange(200)[None].expand(3, -1) // (30 + 7 * seed)
            heads = heads_of(seed, time=200)
            found, expected = (
                sight.attends(path, time=200, segments=segments)[0](*heads, 0.0)  # type: ignore[call-arg]
                for path in ("blocks", "masked")
            )
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_blocks_refuse_dropout() -> None:
    attend = block_attention(SEGMENTS)
    with pytest.raises(AssertionError, match="another way"):
        attend(*heads_of(5), 0.1)  # type: ignore[call-arg]


CHOICES: list[tuple[AttentionPath, dict[str, Any]]] = [
    ("causal", {"device": "cuda", "time": 4096, "window": 512, "cached": True}),
    ("causal", {"device": "cuda", "time": 4096, "cached": True, "segmented": True}),
    ("blocks", {"device": "cuda", "time": 4096, "window": 512}),
    ("blocks", {"device": "cuda", "time": 4096, "window": 512, "segmented": True}),
    ("causal", {"device": "cuda", "time": 4096, "window": 4096}),
    ("causal", {"device": "cuda", "time": 512, "window": 128}),
    ("causal", {"device": "cpu", "time": 4096, "window": 512}),
    ("causal", {"device": "mps", "time": 4096, "window": 512}),
    ("blocks", {"device": "cuda", "time": 2048, "biased": True}),
    ("causal", {"device": "cuda", "time": 512, "biased": True}),
    ("blocks", {"device": "cuda", "time": 512, "capped": True}),
    ("causal", {"device": "cuda", "time": 128, "capped": True}),
    ("masked", {"device": "cuda", "time": 128, "capped": True, "segmented": True}),
    ("causal", {"device": "cuda", "time": 512, "capped": True, "attention_dropout": 0.1}),
    ("causal", {"device": "cuda", "time": 512, "capped": True, "can_compile": False}),
    ("documents", {"device": "cpu", "time": 512, "capped": True, "segmented": True}),
]


@pytest.mark.parametrize(("expected", "facts"), CHOICES)
def test_the_way_is_chosen_by_what_is_seen(expected: str, facts: dict[str, Any]) -> None:
    assert attention_path(**{"segmented": False, "head_size": 64, **facts}) == expected
