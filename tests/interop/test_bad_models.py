"""What cannot be imported is refused before anything is written, with all that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hornbook.errors import InteropError, RunError
from hornbook.interop import GPT2, LLAMA, Form, import_model

Save = Callable[..., Path]


def refusal(form: Form, folder: Path, **more: Any) -> str:
    out = folder.parent / "never"
    with pytest.raises(InteropError) as refused:
        import_model(form, folder, out=out, **more)
    assert not out.exists()
    return str(refused.value)


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, **changes}), encoding="utf-8")


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_every_wrong_tensor_is_listed(save_gpt2: Save) -> None:
    folder = save_gpt2()

    def change(tensors: dict[str, torch.Tensor]) -> None:
        block = "transformer.h.1"
        turned = tensors[f"{block}.attn.c_attn.weight"].t().contiguous()
        tensors[f"{block}.attn.c_attn.weight"] = turned
        tensors[f"{block}.ln_1.bias"] = torch.zeros(31)
        tensors["transformer.ln_f.weight"] = tensors["transformer.ln_f.weight"].double()
        tensors[f"{block}.mlp.c_fc.bias"] = torch.zeros(128, dtype=torch.int64)
        del tensors["transformer.wpe.weight"], tensors[f"{block}.ln_2.bias"]
        tensors["transformer.h.2.ln_1.weight"] = torch.zeros(32)
        tensors["transformer.adapter"] = torch.zeros(3, 4)
        tensors["h.0.ln_1.weight"] = torch.zeros(32)

    change_tensors(folder, change)
    said = refusal(GPT2, folder)
    for line in [
        "transformer.h.1.attn.c_attn.weight: expected the shape [32, 96], found [96, 32]",
        "transformer.h.1.ln_1.bias: expected the shape [32], found [31]",
        "transformer.ln_f.weight: expected the type F32 or F16 or BF16, found F64",
        "transformer.h.1.mlp.c_fc.bias: expected the type F32 or F16 or BF16, found I64",
        "transformer.wpe.weight: is missing; expected with the shape [24, 32]",
        "transformer.h.1.ln_2.bias: is missing; expected with the shape [32]",
        "transformer.h.2.ln_1.weight: belongs to no part of this model (shape [32])",
        "transformer.adapter: belongs to no part of this model (shape [3, 4])",
        "transformer.h.0.ln_1.weight: is there twice, also as h.0.ln_1.weight",
    ]:
        assert f"\n  {line}" in said
    assert said.count("\n") == 9


def test_numbers_that_are_not_finite_are_named(save_llama: Save) -> None:
    folder = save_llama()

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"][3] = torch.nan
        tensors["model.layers.0.self_attn.k_proj.weight"][0, 0] = torch.inf

    change_tensors(folder, change)
    said = refusal(LLAMA, folder)
    assert "norm.weight: holds numbers that are not finite" in said
    assert "layers.0.self_attn.k_proj.weight" in said


def test_a_head_that_is_not_the_embedding(save_gpt2: Save) -> None:
    folder = save_gpt2()
    change_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(300, 32)}))
    assert "lm_head.weight: differs from wte.weight" in refusal(GPT2, folder)
    change_config(folder, tie_word_embeddings=False)
    run, _ = import_model(GPT2, folder, out=folder.parent / "untied")
    assert run.model(torch.zeros(1, 3, dtype=torch.int64))[0].abs().max() == 0


def test_every_wrong_key_of_gpt2_is_listed(save_gpt2: Save) -> None:
    folder = save_gpt2()
    change_config(
        folder,
        activation_function="mish",
        scale_attn_by_inverse_layer_idx=True,
        add_cross_attention=True,
        layer_norm_epsilon="small",
        n_layer=0,
        n_head=5,
    )
    said = refusal(GPT2, folder)
    for key in ["activation_function is 'mish'", "scale_attn_by_inverse_layer_idx is True",
                "add_cross_attention is True", "layer_norm_epsilon is 'small'", "n_layer is 0",
                "model.heads=5: does not divide d_model (32)"]:  # fmt: skip
        assert key in said


def test_every_wrong_key_of_llama_is_listed(save_llama: Save) -> None:
    folder = save_llama()
    change_config(
        folder,
        hidden_act="relu",
        head_dim=16,
        mlp_bias=True,
        quantization_config={"bits": 4},
        rope_parameters={"rope_type": "yarn", "rope_theta": -1.0, "partial_rotary_factor": 0.5},
    )
    said = refusal(LLAMA, folder)
    for key in ["hidden_act is 'relu'", "head_dim is 16", "mlp_bias is True",
                "quantization_config is {'bits': 4}", "rope_type is 'yarn'", "rope_theta is -1.0",
                "partial_rotary_factor is 0.5"]:  # fmt: skip
        assert key in said


def test_the_other_architecture_is_not_taken(save_gpt2: Save, save_llama: Save) -> None:
    said = refusal(GPT2, save_llama("a"))
    assert "model_type is 'llama', and of this layout it is 'gpt2'" in said
    assert said.count("\n") == 1
    said = refusal(LLAMA, save_gpt2("b"))
    assert "model_type is 'gpt2', and of this layout it is 'llama'" in said


def test_sizes_that_are_missing(save_llama: Save) -> None:
    folder = save_llama()
    change_config(folder, hidden_size=None, num_attention_heads=None)
    said = refusal(LLAMA, folder)
    assert "hidden_size is missing" in said
    assert "num_attention_heads is missing" in said
    assert said.count("\n") == 2


def test_a_tokenizer_that_does_not_fit(save_gpt2: Save, finished_run: Any) -> None:
    folder = save_gpt2(vocab_size=301)
    said = refusal(GPT2, folder)
    assert "the tokenizer has 300 ids and the model scores 301" in said
    assert "resize_token_embeddings(300)" in said
    (folder / "tokenizer.json").unlink()
    said = refusal(GPT2, folder)
    assert "holds no tokenizer.json" in said
    assert "--tokenizer" in said
    (folder / "tokenizer.model").write_bytes(b"\x0a\x00")
    assert "SentencePiece" in refusal(GPT2, folder)
    (folder / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}', encoding="utf-8")
    assert 'only "BPE"' in refusal(GPT2, folder)
    right = save_gpt2("right")
    import_model(GPT2, right, out=folder.parent / "ours", tokenizer=str(finished_run.path))


def test_files_that_are_no_weights(save_gpt2: Save, tmp_path: Path) -> None:
    folder = save_gpt2()
    file = folder / "model.safetensors"
    content = file.read_bytes()
    assert "no such file or folder" in refusal(GPT2, tmp_path / "absent")
    file.write_bytes(content[:-100])
    assert "is damaged or no safetensors file" in refusal(GPT2, folder)
    file.unlink()
    assert "holds neither model.safetensors nor" in refusal(GPT2, folder)
    pickled = folder / "pytorch_model.bin"
    pickled.write_bytes(b"\x80\x04.")
    assert "can run any code" in refusal(GPT2, folder)
    assert "can run any code" in refusal(GPT2, pickled)
    assert "is no .safetensors file" in refusal(GPT2, folder / "config.json")
    file.write_bytes(content)
    (folder / "config.json").write_text("{", encoding="utf-8")
    assert "is no JSON" in refusal(GPT2, folder)
    (folder / "config.json").unlink()
    assert "says how many heads there are" in refusal(GPT2, folder)


def test_shards_that_are_not_there(save_llama: Save) -> None:
    folder = save_llama(max_shard_size="20KB")
    first, second, *_ = sorted(folder.glob("*.safetensors"))
    first.unlink()
    second.write_bytes(b"no header")
    said = refusal(LLAMA, folder)
    assert f"{first} is missing" in said
    assert f"{second} is damaged" in said
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../a.safetensors"}}', encoding="utf-8")
    assert "'../a.safetensors' is no file beside it" in refusal(LLAMA, folder)
    index.write_text('{"weight_map": []}', encoding="utf-8")
    assert "'weight_map' is expected" in refusal(LLAMA, folder)


def test_a_folder_that_is_taken(save_gpt2: Save, tmp_path: Path) -> None:
    folder = save_gpt2()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "poem.txt").write_text("Once", encoding="utf-8")
    with pytest.raises(RunError, match="name another"):
        import_model(GPT2, folder, out=tmp_path / "taken")
    assert sorted(path.name for path in (tmp_path / "taken").iterdir()) == ["poem.txt"]
    shutil.rmtree(tmp_path / "taken")
