"""An exported run opens with ``transformers``: equal logits, equal ids; or it is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import hornbook
from hornbook.errors import InteropError
from hornbook.interop import GPT2, LLAMA, Form, export_huggingface, import_model
from hornbook.tokenizers import BPETokenizer, Tokenizer

Save = Callable[..., Path]

GPT2_LIKE = {"model.positions": "learned", "model.norm": "layernorm", "model.feedforward": "gelu"}
RUNS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, grouped, untied, biases": {
        "model.heads": 4, "model.kv_heads": 2, "model.tied_head": False, "model.bias": True,
    },
    "llama, no gains, geglu": {
        "model.norm_gain": False, "model.feedforward": "geglu", "model.norm_epsilon": 1e-4,
    },
    "llama, ntk": {"model.rotary_scaling": "ntk", "model.rotary_scaling_factor": 4.0},
    "llama, bytes": {"tokenizer.kind": "byte"},
    "gpt2, no biases": {**GPT2_LIKE},
    "gpt2, no gains": {**GPT2_LIKE, "model.norm_gain": False, "tokenizer.pattern": "cl100k"},
    "gpt2, biases, untied, relu2": {
        **GPT2_LIKE, "model.bias": True, "model.tied_head": False, "model.feedforward": "relu2",
        "tokenizer.pattern": "words", "data.positions": "line", "data.windows": "left_padded",
    },
}  # fmt: skip
TEXTS = ["", "The river sings.", "  two\n\nand 1234 lines ", "naïve 日本語 🙂", "don't he's"]


@pytest.fixture
def train_few_steps(fast_settings: dict[str, Any], corpus: Path) -> Callable[..., hornbook.Run]:
    """Train a tiny run of any kind: ``train_few_steps(folder, **{"model.heads": 2})``."""

    def run(out: Path, **changes: Any) -> hornbook.Run:
        settings = {**fast_settings, "training.steps": 4, **changes}
        if changes.get("tokenizer.kind", "bpe") != "bpe":
            del settings["tokenizer.vocab_size"]
        if changes.get("model.kind", "transformer") != "transformer":
            del settings["model.layers"], settings["model.d_model"]
        return hornbook.train(corpus, preset="tiny", out=out, overrides=settings)

    return run


@pytest.mark.parametrize("name", list(RUNS))
def test_transformers_opens_what_was_trained(
    name: str, train_few_steps: Callable[..., hornbook.Run], transformers: Any, tmp_path: Path
) -> None:
    run = train_few_steps(tmp_path / "run", **RUNS[name])
    exported = export_huggingface(run, tmp_path / "theirs")
    assert exported.form is (GPT2 if name.startswith("gpt2") else LLAMA)
    assert_equal(run, tmp_path / "theirs", transformers)


def assert_equal(run: hornbook.Run, folder: Path, transformers: Any) -> None:
    """Equal logits, equal ids and texts."""
    theirs, missing = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(missing[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not theirs.config.to_dict().get("auto_map")
    ids = torch.randint(
        0, run.tokenizer.vocab_size, (2, run.config.context_length),
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    with torch.inference_mode():
        torch.testing.assert_close(theirs.eval()(ids).logits, run.model(ids)[0], rtol=0, atol=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == run.tokenizer.vocab_size
    assert tokenizer.eos_token_id == theirs.config.eos_token_id == run.tokenizer.end_id
    add_start = run.config.sampling.add_start
    for text in TEXTS:
        expected = run.tokenizer.encode(text, add_start=add_start)
        assert tokenizer(text)["input_ids"] == expected
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.parametrize("form", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_out_and_in_again(
    form: Form, save_gpt2: Save, save_llama: Save, transformers: Any, tmp_path: Path
) -> None:
    folder = save_gpt2() if form is GPT2 else save_llama()
    run, _ = import_model(form, folder, out=tmp_path / "run")
    export_huggingface(run, tmp_path / "again")
    assert_equal(run, tmp_path / "again", transformers)
    before, after = (load_file(f / "model.safetensors") for f in (folder, tmp_path / "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    back, _ = import_model(form, tmp_path / "again", out=tmp_path / "back")
    assert back.config == run.config
    assert back.checkpoint.weights_checksum() == run.checkpoint.weights_checksum()


def test_greedy_text_is_theirs(save_llama: Save, transformers: Any, tmp_path: Path) -> None:
    run, _ = import_model(LLAMA, save_llama(), out=tmp_path / "run")
    export_huggingface(run, tmp_path / "again")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    prompt = tokenizer("The old", return_tensors="pt")
    made = theirs.generate(**prompt, max_new_tokens=10, do_sample=False)
    sample = run.sample("The old", max_tokens=10, temperature=0, stop_at_end=False)
    assert len(made[0]) > prompt["input_ids"].shape[1]
    assert str(sample).startswith(tokenizer.decode(made[0]))


def test_everything_in_the_way_is_named(
    train_few_steps: Callable[..., hornbook.Run], tmp_path: Path
) -> None:
    run = train_few_steps(
        tmp_path / "run",
        **{
            "tokenizer.kind": "char",
            "model.positions": "sinusoidal", "model.norm_position": "after",
            "model.feedforward": "relu2", "model.embedding_scale": True,
        },
    )  # fmt: skip
    with pytest.raises(InteropError) as refused:
        export_huggingface(run, tmp_path / "theirs")
    said = str(refused.value)
    for line in [
        "for any: tokenizer.kind=char",
        "for GPT2LMHeadModel: model.positions=sinusoidal (it takes learned)",
        "for GPT2LMHeadModel: model.norm=rmsnorm (it takes layernorm)",
        "for GPT2LMHeadModel: model.norm_position=after (it takes before)",
        "for LlamaForCausalLM: model.positions=sinusoidal (it takes rotary)",
        "for LlamaForCausalLM: model.norm_position=after (it takes before)",
        "for LlamaForCausalLM: model.embedding_scale=True (it takes False)",
        "for LlamaForCausalLM: model.feedforward=relu2 (it takes swiglu or geglu)",
    ]:
        assert line in said
    assert not (tmp_path / "theirs").exists()


def test_a_model_that_is_no_transformer(
    train_few_steps: Callable[..., hornbook.Run], tmp_path: Path
) -> None:
    run = train_few_steps(tmp_path / "run", **{"model.kind": "bigram"})
    with pytest.raises(InteropError, match="model.kind=bigram"):
        export_huggingface(run, tmp_path / "theirs")


def test_a_folder_that_exists_is_left_alone(finished_run: hornbook.Run, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    with pytest.raises(InteropError, match="exists already"):
        export_huggingface(finished_run, tmp_path / "theirs")
    assert not list((tmp_path / "theirs").iterdir())


def test_a_damaged_run_is_not_exported(finished_run: hornbook.Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished_run.path, tmp_path / "copy"))
    for file in copy.glob("checkpoints/*/model.safetensors"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    with pytest.raises(hornbook.RunError, match="damaged"):
        export_huggingface(hornbook.open_run(copy), tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_what_begins_a_text_goes_out_again(
    save_llama: Save, transformers: Any, tmp_path: Path, text: str
) -> None:
    merges = BPETokenizer.train([text], vocab_size=299).merges
    tokenizer: Tokenizer = BPETokenizer(merges, "gpt2", ("<|begin|>", "<|end|>"))
    folder = save_llama(eos_token_id=299)
    tokenizer.save(tmp_path / "ours.json")
    given = str(tmp_path / "ours.json")
    run, _ = import_model(LLAMA, folder, out=tmp_path / "run", tokenizer=given)
    assert run.config.sampling.stop == ("<|end|>",)
    run.config = run.config.model_copy(
        update={"sampling": run.config.sampling.model_copy(update={"add_start": True})}
    )
    export_huggingface(run, tmp_path / "again")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert theirs("The river")["input_ids"][0] == 298
    ends = transformers.GenerationConfig.from_pretrained(tmp_path / "again").eos_token_id
    assert ends == [298, 299]
    back, _ = import_model(LLAMA, tmp_path / "again", out=tmp_path / "back")
    assert back.config.sampling.add_start
