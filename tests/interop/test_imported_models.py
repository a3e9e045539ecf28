"""Imported models give the logits of ``transformers``, whatever their shape and their files."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import hornbook
from hornbook.errors import InteropError
from hornbook.interop import GPT2, LLAMA, Form, import_model
from hornbook.interop.foreign_config import ForeignConfig
from hornbook.interop.gpt2 import published_config
from hornbook.interop.layout import match
from hornbook.interop.tensor_files import StoredTensor
from hornbook.runs.archive import pack_run, unpack_run
from hornbook.runs.verification import verify_run

Save = Callable[..., Path]

GPT2_SHAPES: list[dict[str, Any]] = [
    {},
    {"n_head": 1, "n_layer": 1},
    {"n_embd": 48, "n_head": 3, "n_inner": 40, "n_positions": 20},
    {"activation_function": "gelu", "layer_norm_epsilon": 1e-3},
    {"activation_function": "gelu_pytorch_tanh", "tie_word_embeddings": False},
    {"activation_function": "relu2", "n_layer": 3},
    {"activation_function": "silu", "reorder_and_upcast_attn": True},
]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 12,
}
LLAMA_SHAPES: list[dict[str, Any]] = [
    {},
    {"num_key_value_heads": 4, "tie_word_embeddings": True},
    {"num_key_value_heads": 1, "rms_norm_eps": 1e-3, "num_hidden_layers": 3},
    {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}},
    {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}},
    {"rope_parameters": LLAMA3},
]


def their_logits(transformers: Any, folder: Path, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()(ids).logits


def our_logits(run: hornbook.Run, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return run.model(ids)[0]


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", GPT2_SHAPES, ids=str)
def test_gpt2_of_every_shape(
    shape: dict[str, Any], save_gpt2: Save, transformers: Any, ids: torch.Tensor, tmp_path: Path
) -> None:
    folder = save_gpt2(**shape)
    run, report = import_model(GPT2, folder, out=tmp_path / "run")
    assert_same(our_logits(run, ids), their_logits(transformers, folder, ids))
    assert report.difference < 1e-4
    stored = load_file(folder / "model.safetensors")
    assert sorted(report.names.values()) == sorted(stored)


def test_scores_of_a_long_text_are_those_of_transformers(
    save_gpt2: Save, transformers: Any, text: str, tmp_path: Path
) -> None:
    """Their logits, window by window as their own guide to perplexity walks over a text."""
    folder = save_gpt2()
    run, _ = import_model(GPT2, folder, out=tmp_path / "run")
    scored = run.score(text[:400], overlap=10)
    context = 24
    assert scored.tokens > 4 * context
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([run.tokenizer.end_id, *scored.ids.tolist()])
    expected: list[float] = []
    start = 0
    while len(expected) < scored.tokens:
        start = min(start, len(ids) - 1 - context)
        window = ids[start : start + context + 1]
        with torch.inference_mode():
            logits = model(window[None, :-1]).logits[0]
        losses = torch.nn.functional.cross_entropy(logits, window[1:], reduction="none")
        expected += (-losses).tolist()[len(expected) - start :]
        start += context - 10
    torch.testing.assert_close(
        torch.from_numpy(scored.log_probabilities), torch.tensor(expected), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("shape", LLAMA_SHAPES, ids=str)
def test_llama_of_every_shape(
    shape: dict[str, Any], save_llama: Save, transformers: Any, ids: torch.Tensor, tmp_path: Path
) -> None:
    folder = save_llama(**shape)
    run, report = import_model(LLAMA, folder, out=tmp_path / "run")
    assert_same(our_logits(run, ids), their_logits(transformers, folder, ids))
    assert sorted(report.names.values()) == sorted(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("form", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_gradients_are_theirs(
    form: Form, save_gpt2: Save, save_llama: Save, transformers: Any, ids: torch.Tensor,
    tmp_path: Path,
) -> None:  # fmt: skip
    folder = save_gpt2() if form is GPT2 else save_llama()
    run, report = import_model(form, folder, out=tmp_path / "run")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    run.model(ids)[0].logsumexp(-1).sum().backward()
    theirs(ids).logits.logsumexp(-1).sum().backward()
    gradients = dict(theirs.named_parameters())
    ours = dict(run.model.named_parameters())
    for entry in report.layout.entries:
        assert entry.ours is not None
        parts = [gradients[report.layout.full_name(name)].grad for name in entry.theirs]
        expected = entry.to_ours(parts)
        scale = float(expected.abs().max())
        torch.testing.assert_close(ours[entry.ours].grad, expected, rtol=1e-4, atol=1e-5 * scale)


def test_all_ways_in_which_the_files_may_lie(
    save_gpt2: Save, ids: torch.Tensor, tmp_path: Path
) -> None:
    folder = save_gpt2()
    expected = our_logits(import_model(GPT2, folder, out=tmp_path / "expected")[0], ids)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["transformer.wte.weight"]
    causal = torch.ones(1, 1, 24, 24, dtype=torch.bool).tril()
    buffers: dict[str, torch.Tensor] = {}
    for layer in range(2):
        buffers[f"transformer.h.{layer}.attn.bias"] = causal.clone()
        buffers[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    forms = {
        "without prefix": {n.removeprefix("transformer."): t for n, t in tensors.items()},
        "with buffers": tensors | buffers,
        "with the tied head": tensors | {"lm_head.weight": embedding.clone()},
        "in bfloat16": {n: t.bfloat16() for n, t in tensors.items()},
    }
    for number, (what, content) in enumerate(forms.items()):
        place = Path(shutil.copytree(folder, tmp_path / str(number)))
        save_file(content, place / "model.safetensors")
        run, report = import_model(GPT2, place, out=tmp_path / f"run {number}")
        loose = 0.2 if what == "in bfloat16" else 0.0
        torch.testing.assert_close(our_logits(run, ids), expected, rtol=0, atol=loose, msg=what)
        assert len(report.ignored) == (4 if what == "with buffers" else 0)


def test_shards_and_single_files(save_llama: Save, ids: torch.Tensor, tmp_path: Path) -> None:
    whole, parts = save_llama("whole"), save_llama("parts", max_shard_size="20KB")
    index = parts / "model.safetensors.index.json"
    assert len(list(parts.glob("*.safetensors"))) > 2
    places = [whole, whole / "model.safetensors", parts, index]
    runs = [import_model(LLAMA, p, out=tmp_path / f"run {n}")[0] for n, p in enumerate(places)]
    first, *others = [our_logits(run, ids) for run in runs]
    assert all(torch.equal(first, other) for other in others)
    recorded = runs[2].manifest.imported_from
    assert recorded is not None
    assert recorded.form == "llama"
    assert len(recorded.files) == len(list(parts.glob("*.safetensors")))


def test_a_folder_of_the_cache(save_gpt2: Save, tmp_path: Path) -> None:
    folder = save_gpt2()
    cache = tmp_path / "models--someone--theirs"
    shutil.copytree(folder, cache / "snapshots" / "1f2e")
    run, _ = import_model(GPT2, cache, out=tmp_path / "run")
    (cache / "snapshots" / "0a0b").mkdir()
    with pytest.raises(InteropError, match="name one of its snapshots"):
        import_model(GPT2, cache, out=tmp_path / "never")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("1f2e", encoding="utf-8")
    again, _ = import_model(GPT2, cache, out=tmp_path / "again")
    assert again.checkpoint.weights_checksum() == run.checkpoint.weights_checksum()


@pytest.mark.parametrize(
    ("layers", "heads", "width", "parameters"),
    [
        (12, 12, 768, 124_439_808),
        (24, 16, 1024, 354_823_168),
        (36, 20, 1280, 774_030_080),
        (48, 25, 1600, 1_557_611_200),
    ],
)
def test_all_four_published_sizes(layers: int, heads: int, width: int, parameters: int) -> None:
    values = ForeignConfig(
        {"model_type": "gpt2", "n_layer": layers, "n_head": heads, "n_embd": width}
    )
    model = GPT2.read(values)
    assert model is not None
    assert not values.problems
    layout = GPT2.layout(model.config, model.vocab_size)
    shapes = [shape for entry in layout.entries for shape in entry.shapes]
    assert sum(math.prod(shape) for shape in shapes) == parameters
    stored = {
        f"transformer.{name}": StoredTensor(Path("a"), "F32", shape)
        for entry in layout.entries
        for name, shape in zip(entry.theirs, entry.shapes, strict=True)
    }
    assert not match(layout, stored).problems
    known = published_config(stored)
    assert known is not None
    assert GPT2.read(ForeignConfig(known)) == model


def test_a_context_shorter_than_what_it_knows(
    save_gpt2: Save, ids: torch.Tensor, tmp_path: Path
) -> None:
    folder = save_gpt2()
    whole, _ = import_model(GPT2, folder, out=tmp_path / "whole")
    short, _ = import_model(GPT2, folder, out=tmp_path / "short", context_length=8)
    assert short.config.context_length == 8
    assert torch.equal(our_logits(short, ids[:, :8]), our_logits(whole, ids[:, :8]))
    with pytest.raises(hornbook.ConfigError, match="position_count"):
        import_model(GPT2, folder, out=tmp_path / "long", context_length=25)


def test_an_imported_run_is_a_run(save_gpt2: Save, tmp_path: Path, text: str) -> None:
    run, _ = import_model(GPT2, save_gpt2(), out=tmp_path / "run")
    assert verify_run(run.path)
    assert str(run.sample("The river", max_tokens=5)).startswith("The river")
    unpacked = unpack_run(pack_run(run.path, tmp_path / "run.zip"), tmp_path / "unpacked")
    assert hornbook.open_run(unpacked).sample("A", seed=3) == run.sample("A", seed=3)
    with pytest.raises(hornbook.RunError, match="has no text of its own yet"):
        hornbook.fork(str(run.path))
    with pytest.raises(hornbook.CorpusError, match="corpus.files=PATH"):
        hornbook.resume(run.path)


def test_the_tokenizer_is_gpt2s_own(
    save_gpt2: Save, transformers: Any, tmp_path: Path, gpt2_files: Path, text: str
) -> None:
    folder = save_gpt2(vocab_size=50257, n_embd=16, n_layer=1)
    (folder / "tokenizer.json").unlink()
    shutil.copy(gpt2_files / "gpt2-vocab.json", folder / "vocab.json")
    shutil.copy(gpt2_files / "gpt2-merges.txt", folder / "merges.txt")
    run, _ = import_model(GPT2, folder, out=tmp_path / "run")
    theirs = transformers.GPT2Tokenizer.from_pretrained(folder)
    assert run.tokenizer.encode(text) == theirs(text)["input_ids"]
    assert run.config.tokenizer.model_dump()["pattern"] == "gpt2"


def test_sizes_known_without_a_config(
    save_gpt2: Save, ids: torch.Tensor, tmp_path: Path, transformers: Any
) -> None:
    folder = save_gpt2(n_embd=768, n_head=12, n_layer=1)
    theirs = their_logits(transformers, folder, ids)
    (folder / "config.json").unlink()
    run, _ = import_model(GPT2, folder, out=tmp_path / "run")
    assert_same(our_logits(run, ids), theirs)


def test_what_ends_a_text_ends_a_sample(save_llama: Save, tmp_path: Path, text: str) -> None:
    from hornbook.tokenizers import BPETokenizer
    from hornbook.tokenizers.formats.huggingface import write_huggingface

    merges = BPETokenizer.train([text], vocab_size=299).merges
    special = ("<|begin_of_text|>", "<|end_of_text|>")
    tokenizer = BPETokenizer(merges, "gpt2", special)
    folder = save_llama(bos_token_id=298, eos_token_id=[299])
    write_huggingface(tokenizer, folder / "tokenizer.json")
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
    begin = {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}
    document["post_processor"] = {
        "type": "Sequence",
        "processors": [
            {**byte_level, "add_prefix_space": False, "use_regex": True},
            {
                "type": "TemplateProcessing",
                "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {
                    "<|begin_of_text|>": {
                        "id": "<|begin_of_text|>", "ids": [298], "tokens": ["<|begin_of_text|>"],
                    }
                },
            },
        ],
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    run, _ = import_model(LLAMA, folder, out=tmp_path / "run")
    assert run.tokenizer == tokenizer
    assert run.config.sampling.add_start
    assert run.config.sampling.stop == ("<|end_of_text|>",)
    assert "<|end_of_text|>" not in run.sample("The", max_tokens=60, temperature=3.0).text
