"""Every choice of the transformer with every other: drawn at random, but the same ones each time.

Whatever is switched on, a model learns with all its weights, comes back from its file as it was,
samples with its cache what it samples without, and sees neither the future, nor another document,
nor padding.
"""

from __future__ import annotations

import random
import warnings
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F

from hornbook.generation import SamplingConfig
from hornbook.generation.sampler import generate_tokens
from hornbook.models import Embedding, Transformer, TransformerConfig, build_model, transformer
from hornbook.models.attention_paths import AttentionPath
from hornbook.models.feedforward import FeedForwardKind
from hornbook.models.norms import NormKind, NormPosition
from hornbook.models.positions import PositionKind
from hornbook.runs.checkpoints import load_weights, model_tensors
from hornbook.targets import PADDING_SEGMENT
from hornbook.training.recomputation import recompute_blocks

VOCAB, CONTEXT = 29, 12
COMBINATIONS, SEED = 40, 4

BOTH = (False, True)
CHOICES: dict[str, tuple[Any, ...]] = {
    "positions": get_args(PositionKind),
    "norm": get_args(NormKind),
    "norm_position": get_args(NormPosition),
    "norm_gain": BOTH,
    "feedforward": get_args(FeedForwardKind),
    "kv_heads": (0, 2, 1),
    "attention": ("multihead", "mla"),
    "window": (0, 2, 5),
    "qk_norm": BOTH,
    "attention_scale": (1.0, 1.5),
    "attention_softcap": (0.0, 2.0),
    "d_ff": (0, 20),
    "tied_head": BOTH,
    "embedding_scale": BOTH,
    "embedding_norm": BOTH,
    "embedding_deviation": (0.0, 0.5),
    "token_shift": BOTH,
    "bigram_features": BOTH,
    "ngram_features": (0, 3, 4),
    "value_embeddings": BOTH,
    "input_skip": BOTH,
    "output_softcap": (0.0, 5.0),
    "vocab_multiple": (1, 16),
    "zero_init": BOTH,
    "zero_init_head": BOTH,
    "bias": BOTH,
}
FURTHER: dict[str, list[dict[str, Any]]] = {
    "rotary": [
        {},
        {"rotary_fraction": 0.5},
        {"rotary_scaling": "linear", "rotary_scaling_factor": 2.0},
        {"rotary_scaling": "ntk", "rotary_scaling_factor": 2.0, "rotary_fraction": 0.75},
        {
            "rotary_scaling": "llama3",
            "rotary_scaling_factor": 4.0,
            "rotary_trained_length": 16,
            "rotary_base": 100.0,
        },
    ],
}
"""What a choice of positions brings with it."""


def _draw(draw: random.Random) -> TransformerConfig:
    values = {name: draw.choice(options) for name, options in CHOICES.items()}
    values |= draw.choice(FURTHER.get(values["positions"], [{}]))
    if values["attention"] == "mla":
        values |= {"kv_heads": 0, "value_embeddings": False}
        values |= {"kv_latent": draw.choice([0, 10]), "q_latent": draw.choice([0, 12])}
    if values["window"]:
        values["window_layers"] = draw.choice(["all", "alternate", "0,2"])
    if values["bigram_features"]:
        values["bigram_buckets"] = draw.choice([0, 50])
    return TransformerConfig.model_validate(values | {"layers": 3, "heads": 4, "d_model": 32})


def _combinations() -> list[TransformerConfig]:
    draw, found = random.Random(SEED), []
    while len(found) < COMBINATIONS:
        config = _draw(draw)
        if not list(config.conflicts()):
            found.append(config)
    return found


FORMS = _combinations()


def short(config: TransformerConfig) -> str:
    """What differs from the defaults."""
    changes = config.model_dump(exclude_defaults=True, exclude={"layers", "heads", "d_model"})
    return " ".join(f"{name}={value}" for name, value in changes.items())


forms = pytest.mark.parametrize("config", FORMS, ids=short)


def tokens(seed: int, rows: int = 3, time: int = CONTEXT) -> torch.Tensor:
    return torch.randint(0, VOCAB, (rows, time), generator=torch.Generator().manual_seed(seed))


def build(config: TransformerConfig, seed: int = 3) -> Transformer:
    model = build_model(config, vocab_size=VOCAB, context_length=CONTEXT, seed=seed)
    assert isinstance(model, Transformer)
    return model


def trained(config: TransformerConfig) -> Transformer:
    """After four steps, so that nothing is zero or one any more; shared, so not to be changed."""
    return _trained(FORMS.index(config))


@cache
def _trained(number: int) -> Transformer:
    model = build(FORMS[number])
    # Layers behind matrices that begin at zero learn a step or two later than the others.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0)
    for step in range(4):
        ids = tokens(step)
        logits, _ = model(ids)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_the_draw_reaches_every_choice() -> None:
    drawn = [config.model_dump() for config in FORMS]
    for name, options in CHOICES.items():
        assert {values[name] for values in drawn} >= set(options), name
    kinds = {values["rotary_scaling"] for values in drawn}
    assert kinds == {"none", "linear", "ntk", "llama3"}
    assert {values["rotary_fraction"] for values in drawn} >= {0.0, 0.5}
    assert {values["window_layers"] for values in drawn} == {"all", "alternate", "0,2"}
    assert {values["q_latent"] for values in drawn} == {0, 12}


@forms
def test_every_weight_learns(config: TransformerConfig) -> None:
    before, after = build(config).named_parameters(), dict(trained(config).named_parameters())
    for name, parameter in before:
        assert torch.isfinite(after[name]).all()
        assert not torch.equal(parameter, after[name]), name


@forms
def test_it_comes_back_from_its_file_to_the_bit(config: TransformerConfig, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model, other = trained(config), build(config, seed=4).eval()
    save_file(model_tensors(model), tmp_path / "model.safetensors")
    load_weights(other, tmp_path / "model.safetensors")
    assert torch.equal(model(tokens(9))[0], other(tokens(9))[0])


@forms
def test_with_its_state_it_computes_and_samples_the_same(config: TransformerConfig) -> None:
    model, ids = trained(config), tokens(9)
    state, parts = model.init_state(3), []
    for piece in ids.split([4, 1, 1, 5, 1], dim=1):
        logits, state = model(piece, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids)[0], atol=2e-5, rtol=1e-4)
    # Three times the context, so that the window slides and the state begins anew.
    greedy = SamplingConfig(temperature=0, max_tokens=3 * CONTEXT, samples=2)
    with_state, without = (
        list(generate_tokens(model, [3, 1, 4], greedy, use_state=use)) for use in (True, False)
    )
    assert with_state == without


@forms
def test_no_token_sees_the_future(config: TransformerConfig) -> None:
    model, looked_up = trained(config), []

    def keep(module: object, inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        looked_up.append(output)

    tables = [
        module
        for name, module in model.named_modules()
        if isinstance(module, Embedding) and not name.startswith("position")
    ]
    hooks = [table.register_forward_hook(keep) for table in tables]
    logits, _ = model(tokens(9, rows=1))
    for hook in hooks:
        hook.remove()
    logits[0, 6].square().sum().backward()
    assert len(looked_up) == len(tables)
    # Values of the last layer are only seen within its window.
    reach = min((window for window in config.windows if window), default=7)
    for vectors in looked_up:
        influence = vectors.grad[0].abs().sum(dim=1)
        assert (influence[max(0, 7 - reach) : 7] > 0).all()
        assert (influence[7:] == 0).all()


def gradients(model: Transformer) -> dict[str, torch.Tensor]:
    ids = tokens(9)
    model.zero_grad()
    F.cross_entropy(model(ids)[0][:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@forms
def test_it_can_be_computed_again_and_with_shorter_numbers(config: TransformerConfig) -> None:
    model = build(config)
    expected = gradients(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            shorter = gradients(model)
    for name, gradient in expected.items():
        assert shorter[name].dtype == torch.float32
        assert (shorter[name] - gradient).norm() <= 0.1 * gradient.norm() + 1e-4, name
    recompute_blocks(model)
    again = gradients(model)
    assert all(torch.equal(gradient, again[name]) for name, gradient in expected.items())


@pytest.mark.filterwarnings("ignore")
def test_it_is_one_graph_for_a_compiler() -> None:
    config = TransformerConfig(
        layers=2,
        d_model=32,
        norm_position="both",
        token_shift=True,
        bigram_features=True,
        ngram_features=4,
        value_embeddings=True,
        input_skip=True,
        output_softcap=5.0,
        vocab_multiple=16,
    )
    model = build(config)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(tokens(1))[0], model(tokens(1))[0])


SEGMENTS = torch.tensor([[PADDING_SEGMENT] * 3 + [0] * 4 + [1] * 5])
FIRST, SECOND = slice(3, 7), slice(7, 12)


@pytest.mark.parametrize("path", ["masked", "documents"])
@forms
def test_neither_padding_nor_another_document_is_seen(
    config: TransformerConfig, path: AttentionPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(*, segmented: bool, **_: Any) -> AttentionPath:
        return path if segmented else "causal"

    monkeypatch.setattr(transformer, "attention_path", chosen)
    model, ids = trained(config), tokens(9, rows=1)
    positions = torch.tensor([[0, 0, 0, *range(4), *range(5)]])

    def logits(ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model(ids, positions=positions, segments=SEGMENTS)[0][0]

    changed = ids.clone()
    changed[0, :7] = (changed[0, :7] + 1) % VOCAB
    found, other = logits(ids), logits(changed)
    assert torch.equal(found[SECOND], other[SECOND])
    assert not torch.equal(found[FIRST], other[FIRST])
    padded = ids.clone()
    padded[0, :3] = (padded[0, :3] + 1) % VOCAB
    assert torch.equal(found[3:], logits(padded)[3:])
    for document in (FIRST, SECOND):
        alone, _ = model(ids[:, document])
        torch.testing.assert_close(found[document], alone[0], atol=2e-5, rtol=1e-4)


SWITCHES: dict[str, Any] = {
    "token_shift": True,
    "bigram_features": True,
    "ngram_features": 4,
    "value_embeddings": True,
    "input_skip": True,
    "vocab_multiple": 16,
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_that_adds_weights_changes_nothing_before_the_first_step(name: str) -> None:
    plain = TransformerConfig(layers=2, d_model=32)
    model = build(plain)
    switched = build(plain.model_copy(update={name: SWITCHES[name]}))
    torch.testing.assert_close(model(tokens(1))[0], switched(tokens(1))[0], atol=1e-6, rtol=1e-6)
    shared = dict(model.named_parameters())
    assert all(
        torch.equal(shared[name], weight)
        for name, weight in switched.named_parameters()
        if name in shared
    )


def test_layers_and_head_that_begin_at_zero_say_nothing_at_first() -> None:
    settings: dict[str, Any] = {"layers": 2, "d_model": 32, "tied_head": False}
    quiet = build(TransformerConfig(**settings, zero_init=True))
    embedded = quiet.token_embedding(tokens(1))
    torch.testing.assert_close(quiet.hidden(tokens(1))[0], quiet.final_norm(embedded))
    uniform = build(TransformerConfig(**settings, zero_init_head=True))
    assert not uniform(tokens(1))[0].any()


def test_embeddings_begin_as_large_as_they_are_told_to() -> None:
    drawn = {
        deviation: build(TransformerConfig(layers=1, embedding_deviation=deviation))
        for deviation in (0.0, 0.02, 1.0)
    }
    plain, small, large = (model.token_embedding.weight for model in drawn.values())
    torch.testing.assert_close(plain, small)
    torch.testing.assert_close(large, 50 * small)
    for name, weight in drawn[1.0].named_parameters():
        if name != "token_embedding.weight":
            assert torch.equal(weight, drawn[0.02].get_parameter(name)), name


def conflicts(**settings: Any) -> dict[str, str]:
    return {problem.key: problem.message for problem in TransformerConfig(**settings).conflicts()}


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "alibi", "none"])
def test_a_base_that_nothing_turns_by_is_refused(positions: str) -> None:
    assert list(conflicts(positions=positions, rotary_base=500.0)) == ["rotary_base"]
    assert not conflicts(positions=positions, rotary_base=10_000.0)


def test_combinations_that_make_no_sense_are_refused_all_at_once() -> None:
    found = conflicts(
        heads=3,
        positions="learned",
        rotary_base=500.0,
        rotary_fraction=0.5,
        rotary_scaling="linear",
        norm="none",
        norm_position="both",
        norm_gain=False,
        embedding_norm=True,
        zero_init_head=True,
        bigram_buckets=7,
    )
    assert list(found) == [
        "heads", "rotary_base", "rotary_fraction", "rotary_scaling", "norm_position", "norm_gain",
        "embedding_norm", "zero_init_head", "bigram_buckets",
    ]  # fmt: skip
    for key in ("rotary_base", "rotary_fraction"):
        assert "positions=learned; use positions=rotary" in found[key]
    assert "norm_gain=true" in found["norm_gain"]
    assert "tied_head=false" in found["zero_init_head"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"rotary_fraction": 0.05}, "rotary_fraction"),
        ({"rotary_scaling": "ntk"}, "rotary_scaling"),
        ({"rotary_scaling_factor": 2}, "rotary_scaling_factor"),
        ({"rotary_scaling": "llama3", "rotary_scaling_factor": 8}, "rotary_trained_length"),
        ({"rotary_low_frequency": 5}, "rotary_low_frequency"),
        ({"zero_init": True, "norm_position": "both", "norm_gain": False}, "zero_init"),
        (
            {
                "rotary_scaling": "llama3",
                "rotary_scaling_factor": 8,
                "rotary_trained_length": 64,
                "rotary_low_frequency": 5,
            },
            "rotary_high_frequency",
        ),
    ],
)
def test_settings_that_say_nothing_are_refused(settings: dict[str, Any], key: str) -> None:
    assert list(conflicts(**settings)) == [key]


def test_an_odd_head_is_fine_where_an_even_part_of_it_is_turned() -> None:
    assert list(conflicts(heads=4, d_model=20)) == ["heads"]
    config = TransformerConfig(layers=1, heads=4, d_model=20, rotary_fraction=0.8)
    assert not list(config.conflicts())
    assert build(config)(tokens(1))[0].shape == (3, CONTEXT, VOCAB)
