"""Latent attention: the paper's formulas by hand, both forms of it, and transformers' own."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hornbook.models import LatentCache, TransformerConfig, build_model
from hornbook.models.attention import causal_attention
from hornbook.models.latent_attention import LatentAttention
from hornbook.models.rotary import rotary_table
from hornbook.models.sight import Sight

WIDTH, HEADS, LATENT, TIME = 48, 4, 20, 11
SIZE = WIDTH // HEADS


def build(rotary: int = 6, q_latent: int = 0, **others: object) -> LatentAttention:
    torch.manual_seed(1)
    made = LatentAttention(
        WIDTH,
        HEADS,
        kv_latent=LATENT,
        q_latent=q_latent,
        rotary=rotary,
        **({"bias": True, "dropout": 0.0, "attention_dropout": 0.0} | others),  # type: ignore[arg-type]
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def inputs() -> torch.Tensor:
    return torch.randn(2, TIME, WIDTH, generator=torch.Generator().manual_seed(2))


def by_hand(made: LatentAttention, x: torch.Tensor, rotary: int) -> torch.Tensor:
    """Equations 9 to 19 of the paper, a token and a head at a time."""
    cosines, sines = rotary_table(TIME, max(rotary, 2), 100.0)
    down, up, out = made.latent_down, made.latent_up.weight, made.output

    def normed(vector: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return vector / (vector.square().mean() + 1e-5).sqrt() * gain

    def turned(vector: torch.Tensor, place: int) -> torch.Tensor:
        half = rotary // 2
        pairs = [complex(vector[i], vector[i + half]) for i in range(half)]
        angles = [complex(cosines[place, i], sines[place, i]) for i in range(half)]
        found = [pair * angle for pair, angle in zip(pairs, angles, strict=True)]
        return torch.tensor([number.real for number in found] + [n.imag for n in found])

    result = torch.zeros_like(x)
    for row in range(len(x)):
        keys, values, queries = [], [], []
        for place in range(TIME):
            both = down.weight @ x[row, place] + down.bias
            key, latent = both[:rotary], normed(both[rotary:], made.latent_norm.weight)
            if made.key_norm is not None:
                key = normed(key, made.key_norm.weight)
            contents, taken = (up @ latent).split([HEADS * (SIZE - rotary), WIDTH])
            key = turned(key, place)
            keys.append([torch.cat((key, part)) for part in contents.view(HEADS, -1)])
            values.append(list(taken.view(HEADS, SIZE)))
            query = x[row, place]
            if made.query_down is not None:
                assert made.query_latent_norm is not None
                query = made.query_down.weight @ query + made.query_down.bias
                query = normed(query, made.query_latent_norm.weight)
            asked = list((made.query_up.weight @ query).view(HEADS, SIZE))
            if made.query_norm is not None:
                asked = [normed(head, made.query_norm.weight) for head in asked]
            asked = [torch.cat((turned(q[:rotary], place), q[rotary:])) for q in asked]
            queries.append(asked)
        for place in range(TIME):
            taken = []
            for head in range(HEADS):
                scores = torch.stack(
                    [
                        made.scale * (queries[place][head] @ keys[other][head]) / math.sqrt(SIZE)
                        for other in range(place + 1)
                    ]
                )
                shares = scores.softmax(0)
                taken.append(sum(share * values[n][head] for n, share in enumerate(shares)))
            result[row, place] = out.weight @ torch.cat(taken) + out.bias
    return result


def rotation_of(rotary: int, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    if not rotary:
        return None
    cosines, sines = rotary_table(TIME, rotary, 100.0)
    return cosines[start:stop], sines[start:stop]


FORMS = list(itertools.product((0, 6), (0, 14), (False, True)))


@pytest.mark.parametrize(("rotary", "q_latent", "qk_norm"), FORMS)
def test_it_is_the_papers_formulas(rotary: int, q_latent: int, qk_norm: bool) -> None:
    made = build(rotary, q_latent, qk_norm=qk_norm, scale=1.5)
    x = inputs()
    with torch.no_grad():
        found = made(
            x, rotation=rotation_of(rotary, 0, TIME), attend=causal_attention, cache=None, layer=0
        )
        expected = by_hand(made, x, rotary)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("window", [0, 4])
@pytest.mark.parametrize(("rotary", "q_latent", "qk_norm"), FORMS)
def test_absorbed_is_expanded(rotary: int, q_latent: int, qk_norm: bool, window: int) -> None:
    made = build(rotary, q_latent, qk_norm=qk_norm)
    sight = Sight(TIME, windows=[window])
    x = inputs()
    cache = LatentCache(
        batch_size=2,
        capacity=TIME,
        width=LATENT + rotary,
        device=x.device,
        dtype=x.dtype,
        windows=[window],
    )
    with torch.no_grad():
        expanded = made(
            x,
            rotation=rotation_of(rotary, 0, TIME),
            attend=sight.attends("causal", time=TIME)[0],
            cache=None,
            layer=0,
        )
        parts = []
        for piece in x.split([3, 1, 1, 4, 1, 1], dim=1):
            seen, time = cache.length, piece.shape[1]
            parts.append(
                made(
                    piece,
                    rotation=rotation_of(rotary, seen, seen + time),
                    attend=sight.attends("causal", time=time, seen=seen)[0],
                    cache=cache,
                    layer=0,
                )
            )
            cache.advance(time)
    torch.testing.assert_close(torch.cat(parts, dim=1), expanded, atol=2e-5, rtol=1e-4)


def test_the_matrices_that_share_a_parameter_are_named() -> None:
    for rotary in (0, 6):
        made = build(rotary)
        for name, rows in made.joint_rows.items():
            assert sum(rows) == made.get_parameter(name).shape[0]
            assert all(rows)
        assert ("latent_down.weight" in made.joint_rows) == (rotary > 0)


def test_behind_a_cache_nothing_as_large_as_its_keys_is_made() -> None:
    config = TransformerConfig(layers=1, heads=8, d_model=256, attention="mla", kv_latent=32)
    model = build_model(config, vocab_size=7, context_length=512, seed=1).eval()
    sizes = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                sizes.append(result.untyped_storage().nbytes())
            return result

    with torch.no_grad():
        state = model.init_state(1)
        _, state = model(torch.randint(0, 7, (1, 500)), state)
        own = {t.untyped_storage().nbytes() for t in [*model.parameters(), *model.buffers()]}
        with Watching():
            model(torch.tensor([[3]]), state)
    cached = state.cache.nbytes
    assert cached == 512 * (32 + 16) * 4
    assert max(size for size in sizes if size not in own) <= cached


def test_it_is_deepseeks_attention_of_transformers() -> None:
    deepseek = pytest.importorskip("transformers.models.deepseek_v2.modeling_deepseek_v2")
    configs = pytest.importorskip("transformers.models.deepseek_v2.configuration_deepseek_v2")
    rotary = 6
    for q_latent in (None, 14):
        config = configs.DeepseekV2Config(
            hidden_size=WIDTH, num_attention_heads=HEADS, num_key_value_heads=HEADS,
            kv_lora_rank=LATENT, q_lora_rank=q_latent, qk_rope_head_dim=rotary,
            qk_nope_head_dim=SIZE - rotary, v_head_dim=SIZE, attention_bias=True,
            max_position_embeddings=TIME, attn_implementation="eager",
        )  # fmt: skip
        theirs = deepseek.DeepseekV2Attention(config, 0).eval()
        ours = build(rotary, q_latent or 0)
        # Theirs have the turned part last, and pairs side by side instead of half a head apart.
        pairs = torch.arange(rotary).view(2, -1).T.flatten()
        head = torch.cat((torch.arange(rotary, SIZE), pairs))
        order = (torch.arange(HEADS)[:, None] * SIZE + head).flatten()
        joint = torch.cat((torch.arange(rotary, rotary + LATENT), pairs))
        # Theirs have key and value of a head beside each other, ours those of all heads.
        content, values = ours.up_rows[0], torch.arange(WIDTH).view(HEADS, -1)
        up = torch.cat((torch.arange(content).view(HEADS, -1), values + content), 1).flatten()
        weights = {
            "kv_a_proj_with_mqa.weight": ours.latent_down.weight[joint],
            "kv_a_proj_with_mqa.bias": ours.latent_down.bias[joint],
            "kv_a_layernorm.weight": ours.latent_norm.weight,
            "kv_b_proj.weight": ours.latent_up.weight[up],
            "o_proj.weight": ours.output.weight,
            "o_proj.bias": ours.output.bias,
        }
        if ours.query_down is None:
            weights["q_proj.weight"] = ours.query_up.weight[order]
        else:
            assert ours.query_latent_norm is not None
            weights["q_a_proj.weight"] = ours.query_down.weight
            weights["q_a_proj.bias"] = ours.query_down.bias
            weights["q_a_layernorm.weight"] = ours.query_latent_norm.weight
            weights["q_b_proj.weight"] = ours.query_up.weight[order]
        theirs.load_state_dict(weights)
        for module in theirs.modules():
            if hasattr(module, "variance_epsilon"):
                module.variance_epsilon = 1e-5
        x, table = inputs(), rotary_table(TIME, rotary, 10_000.0)
        mask = torch.full((TIME, TIME), float("-inf")).triu(1)[None, None]
        with torch.no_grad():
            found = ours(x, rotation=table, attend=causal_attention, cache=None, layer=0)
            expected, _ = theirs(
                x, attention_mask=mask, position_embeddings=torch.complex(*table)[None]
            )
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
