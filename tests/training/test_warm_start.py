"""A warm start takes what fits, says what became of the rest, and needs the other run only once."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hornbook
from hornbook.errors import ConfigError, RunError
from hornbook.listener import Listener
from hornbook.models import TransformerConfig, build_model
from hornbook.runs.checkpoints import checkpoint_at, list_checkpoints
from hornbook.tokenizers import BPETokenizer, CharTokenizer, Tokenizer
from hornbook.training import warm_start
from hornbook.training.warm_start import common_tokens

Train = Callable[..., hornbook.Run]
KEEP = {"training.keep_checkpoints": 9}


class Notices(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def notice(self, text: str) -> None:
        self.lines.append(text)


def begun_with(run: hornbook.Run) -> dict[str, torch.Tensor]:
    """The weights of the run before its first step."""
    return hornbook.open_run(f"{run.path}@0").model.state_dict()


def test_the_same_model_begins_with_the_other_ones_weights_and_tokenizer(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    heard = Notices()
    address = f"{finished_run.path}@8"
    run = train_fast(
        tmp_path / "run", listener=heard, **KEEP, **{"training.init_from": address, "seed": 9}
    )
    theirs = hornbook.open_run(address)
    for name, tensor in begun_with(run).items():
        assert torch.equal(tensor, theirs.model.state_dict()[name]), name
    assert run.tokenizer == theirs.tokenizer
    assert any("the tokenizer is that of" in line for line in heard.lines)
    record = run.manifest.warm_start
    assert record is not None
    assert (record.run, record.step) == (str(finished_run.path.resolve()), 8)
    assert record.weights == theirs.checkpoint.weights_checksum()
    assert set(record.taken) == {name for name, _ in theirs.model.named_parameters()}
    assert not record.by_token
    assert not record.left
    assert not record.unused
    assert run.config.training.init_from == f"{finished_run.path.resolve()}@8"
    assert run.metrics()[0]["training_loss"] < finished_run.metrics()[0]["training_loss"]


def test_what_does_not_fit_stays_as_drawn_and_is_listed(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    heard = Notices()
    changes = {
        "model.layers": 2, "model.d_ff": 24, "model.tied_head": False, "model.positions": "learned",
        "training.init_from": str(finished_run.path),
    }  # fmt: skip
    run = train_fast(tmp_path / "run", listener=heard, **KEEP, **changes)
    cold = train_fast(tmp_path / "cold", **KEEP, **{**changes, "training.init_from": ""})
    record = run.manifest.warm_start
    assert record is not None
    left = set(record.left)
    assert {n for n in left if n.startswith("blocks.0")} == {
        "blocks.0.feedforward.up.weight", "blocks.0.feedforward.down.weight",
    }  # fmt: skip
    assert "position_embedding.weight" in left
    assert all(name in left for name in begun_with(run) if name.startswith("blocks.1"))
    assert record.left["blocks.0.feedforward.down.weight"] == (
        "its shape is [16, 24], and [16, 48] in the other run"
    )
    assert record.left["position_embedding.weight"].endswith("no tensor of this name")
    # A tied head is found by an untied one.
    assert "output_head.weight" in record.taken
    before, drawn = begun_with(run), cold.checkpoints()[0]
    theirs = finished_run.model.state_dict()
    assert drawn.step > 0
    fresh = build_model(
        run.config.model.model_copy(update={"position_count": 16}),
        vocab_size=run.tokenizer.vocab_size,
        context_length=16,
        seed=hornbook.randomness.stream_seed(3, "init"),
    ).state_dict()
    for name, tensor in before.items():
        expected = fresh[name] if name in left else theirs[name]
        assert torch.equal(tensor, expected), name
    assert any("feedforward.down.weight: left as drawn, its shape" in line for line in heard.lines)


def test_with_another_vocabulary_rows_follow_the_bytes_of_their_tokens(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    run = train_fast(
        tmp_path / "run", **KEEP,
        **{"tokenizer.vocab_size": 280, "training.init_from": str(finished_run.path)},
    )  # fmt: skip
    ours, theirs = run.tokenizer, finished_run.tokenizer
    record = run.manifest.warm_start
    assert record is not None
    assert ours.vocab_size == 280
    table, their_table = (
        m["token_embedding.weight"] for m in (begun_with(run), finished_run.model.state_dict())
    )
    known = {theirs.token_bytes(i): i for i in range(theirs.vocab_size)}
    same = 0
    for token in range(ours.vocab_size):
        other = known.get(ours.token_bytes(token))
        if other is not None:
            assert torch.equal(table[token], their_table[other])
            same += 1
    assert record.by_token == {"token_embedding.weight": same}
    assert 256 < same <= 280


def test_common_tokens_are_those_with_the_same_bytes_or_the_same_name() -> None:
    texts = ["a rose is a rose is a rose", "arose"]
    ours: Tokenizer = CharTokenizer.train(texts)
    theirs: Tokenizer = BPETokenizer.train(texts, 270)
    pairs = common_tokens(ours, theirs).tolist()
    assert len(pairs) == len({here for here, _ in pairs})
    special = set(ours.special_tokens.values())
    for here, there in pairs:
        assert (here in special) == (there in theirs.special_tokens.values())
        assert here in special or ours.token_bytes(here) == theirs.token_bytes(there)
    for role in ("end_id", "start_id", "pad_id"):
        assert [getattr(ours, role), getattr(theirs, role)] in pairs


@pytest.fixture
def train_bigram(corpus: Path, fast_settings: dict[str, Any]) -> Train:
    def run(out: Path, **changes: Any) -> hornbook.Run:
        shared = {k: v for k, v in fast_settings.items() if not k.startswith("model.")}
        settings = {**shared, "model.kind": "bigram", **changes}
        return hornbook.train(corpus, preset="tiny", out=out, overrides=settings)

    return run


def test_a_bigrams_table_follows_its_tokens_on_both_sides(
    train_bigram: Train, tmp_path: Path
) -> None:
    other = train_bigram(tmp_path / "other")
    changes = {"tokenizer.vocab_size": 290, "training.init_from": str(other.path)}
    run = train_bigram(tmp_path / "run", **KEEP, **changes)
    here, there = common_tokens(run.tokenizer, other.tokenizer).unbind(1)
    table, their_table = begun_with(run)["table.weight"], other.model.state_dict()["table.weight"]
    assert torch.equal(table[here][:, here], their_table[there][:, there])
    assert their_table.abs().sum() > 0


def test_nothing_of_the_other_run_is_needed_after_the_start(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    shutil.copytree(finished_run.path, tmp_path / "other")
    settings: dict[str, Any] = {"training.init_from": str(tmp_path / "other"), "model.layers": 2}
    whole = train_fast(tmp_path / "whole", **settings)

    class Stop(Listener):
        def stepped(self, step: int, loss: float, tokens: int) -> None:
            if step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=Stop(), **settings)
    shutil.rmtree(tmp_path / "other")
    resumed = hornbook.resume(tmp_path / "run")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name])


def test_a_start_that_was_killed_is_made_again(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"training.init_from": str(finished_run.path)}
    whole = train_fast(tmp_path / "whole", **settings)
    real = warm_start.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(
            warm_start, "save_checkpoint", lambda *_, **__: (_ for _ in ()).throw(SystemExit)
        )
        with pytest.raises(SystemExit):
            train_fast(tmp_path / "run", **settings)
    assert warm_start.save_checkpoint is real
    assert not list_checkpoints(tmp_path / "run")
    resumed = hornbook.resume(tmp_path / "run")
    for step in (0, 12):
        one, other = (
            checkpoint_at(path, step).folder / "model.safetensors"
            for path in (whole.path, resumed.path)
        )
        assert step == 0 or one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("address", "words"),
    [("nowhere", "is not a run"), ("{run}@5", "has no checkpoint '5'"), ("{run}@no", "after @")],
)
def test_another_run_that_is_not_there_is_refused_and_leaves_nothing(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path, address: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        train_fast(
            tmp_path / "run", **{"training.init_from": address.format(run=finished_run.path)}
        )
    assert not (tmp_path / "run").exists()


def test_a_model_that_nothing_fits_is_refused_and_leaves_nothing(
    finished_run: hornbook.Run, train_bigram: Train, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="Nothing of .* fits this model: table.weight"):
        train_bigram(tmp_path / "run", **{"training.init_from": str(finished_run.path)})
    assert not (tmp_path / "run").exists()


def test_what_is_counted_has_no_weights_to_borrow() -> None:
    from hornbook.runs.resolution import resolve

    with pytest.raises(ConfigError) as caught:
        resolve(
            preset="tiny",
            overrides=["model.kind=bigram_counts", "training.init_from=x", "training.freeze=y"],
        )
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"training.init_from", "training.freeze"}


def test_rows_for_pairs_found_by_a_hash_are_left_to_another_vocabulary() -> None:
    model = build_model(
        TransformerConfig(layers=1, d_model=16, bigram_features=True, value_embeddings=True),
        vocab_size=20, context_length=8, seed=1,
    )  # fmt: skip
    names = set(model.state_dict())
    axes = model.token_axes
    assert axes["bigram_embedding.weight"] == ()
    assert all(axes[name] == (0,) for name in names if name.startswith("value_embeddings"))
    assert any(name.startswith("value_embeddings") for name in names)
