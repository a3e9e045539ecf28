"""hornbook import and export, from the words to what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hornbook


def test_out_in_and_on(
    call: Any, refused: Callable[..., str], train_fast: Callable[..., hornbook.Run],
    corpus: Path, tmp_path: Path,
) -> None:  # fmt: skip
    run = train_fast(tmp_path / "run", **{"model.layers": 2, "training.steps": 4})
    out = call("export", "hf", run.path, tmp_path / "theirs")
    assert out.exit_code == 0, out.output
    assert "LlamaForCausalLM, the weights of step 4" in out.stdout
    assert "blocks.*.attention.qkv.weight" in out.stdout
    assert "exists already" in refused("export", "hf", run.path, tmp_path / "theirs")

    back = call("import", "llama", tmp_path / "theirs", "--out", tmp_path / "back")
    assert back.exit_code == 0, back.output
    assert "tensors used, none left over" in back.stdout
    assert "layers.*.self_attn.q_proj.weight" in back.stdout
    assert call("verify", tmp_path / "back").exit_code == 0
    shown = call("show", tmp_path / "back").stdout
    assert "theirs (llama)" in shown
    assert "none yet" in shown
    sampled = call("sample", tmp_path / "back", "The", "--max-tokens", 5, "--device", "cpu")
    assert sampled.stdout.startswith("The")

    small = ["training.steps=2", "training.schedule.warmup_steps=0", "training.device=cpu"]
    tuned = call("train", "--from", tmp_path / "back", corpus, *small, "--out", tmp_path / "tuned")
    assert tuned.exit_code == 0, tuned.output
    assert hornbook.open_run(tmp_path / "tuned").config.corpus.files == (str(corpus),)


def test_mistakes_are_told_in_words(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "no such file or folder" in refused("import", "gpt2", tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "holds neither" in refused("import", "llama", tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"")
    (tmp_path / "empty" / "config.json").write_text(json.dumps({}), encoding="utf-8")
    assert "is damaged or no safetensors" in refused("import", "gpt2", tmp_path / "empty")
    assert "is not a run" in refused("export", "hf", tmp_path / "empty", tmp_path / "out")
