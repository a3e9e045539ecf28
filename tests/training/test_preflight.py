"""What is found out about a run before it is trained: each line holds on a sound run, and fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hornbook
from hornbook.data import TokenStore
from hornbook.errors import RunError, TrainingStopped
from hornbook.listener import Listener
from hornbook.models import Transformer
from hornbook.runs.assembly import find_store, make_store, read_corpus
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.tokenizers import BPETokenizer, CharTokenizer
from hornbook.training import fork, preflight_data
from hornbook.training.equipment import choose_equipment
from hornbook.training.precision import Precision
from hornbook.training.preflight import check_fork, check_resume, check_train
from hornbook.training.preflight_check import PreflightReport
from hornbook.training.preflight_data import bytes_are_kept, counted_data, round_trip
from hornbook.training.preflight_machine import device_computes, place_is_ready

Train = Callable[..., hornbook.Run]
SIZES = ("model.d_model", "model.layers")
NAMES = ["data", "tokens", "round trip", "future", "first loss", "learns", "device", "steps",
         "memory", "time", "place"]  # fmt: skip


@pytest.fixture
def check(corpus: Path, fast_settings: dict[str, Any], tmp_path: Path) -> Callable[..., Any]:
    """Check a new tiny run that would lie in ``tmp_path / "new"``."""

    def run(**changes: Any) -> PreflightReport:
        wanted = {**fast_settings, **changes}
        if str(changes.get("model.kind")).startswith("bigram"):
            wanted = {key: value for key, value in wanted.items() if key not in SIZES}
        return check_train(corpus, preset="tiny", out=tmp_path / "new", overrides=wanted)

    return run


def verdicts(report: PreflightReport) -> dict[str, str]:
    return {check.name: check.verdict for check in report.checks}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def reason(report: PreflightReport, name: str) -> str:
    return next(check.reason for check in report.checks if check.name == name)


def test_a_sound_run_passes_and_leaves_nothing_behind(
    check: Any, finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    state = torch.get_rng_state()
    threads = torch.get_num_threads()
    report = check()
    assert not report.failed
    assert list(verdicts(report)) == NAMES
    assert set(verdicts(report).values()) - {"pass"} <= {"skip"}
    assert list(tmp_path.iterdir()) == []
    cache = Path(os.environ["HORNBOOK_CACHE"])
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]
    assert report.caches
    assert all(Path(place).is_relative_to(cache) for place in report.caches)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    # What is trained afterwards is the same to the byte.
    after = train_fast(tmp_path / "new")
    for name in ("model.safetensors", "optimizer.safetensors"):
        trained, expected = (
            list_checkpoints(run.path)[-1].folder / name for run in (after, finished_run)
        )
        assert trained.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"data.windows": "packed", "corpus.separate_by": "line", "model.positions": "alibi"},
        {"data.windows": "left_padded", "corpus.separate_by": "line", "data.split": "window"},
        {"data.windows": "first_full", "corpus.separate_by": "line", "model.kind": "gru"},
        {"data.windows": "stream", "model.kind": "lstm", "training.carry_state": True},
        {"model.kind": "bigram", "training.micro_batch_size": 1},
        {"model.zero_init": True, "model.zero_init_head": True, "model.tied_head": False,
         "training.precision": "bfloat16"},
        {"training.batch_ramp.start": 2, "training.batch_ramp.steps": 4, "model.dropout": 0.3,
         "corpus.validation_fraction": 0},
    ],
)  # fmt: skip
def test_every_kind_of_run_can_be_checked(check: Any, changes: dict[str, Any]) -> None:
    report = check(**changes)
    assert not report.failed, report.failed
    assert list(verdicts(report)) == NAMES


def test_a_model_that_counts_has_less_to_check(check: Any) -> None:
    found = verdicts(check(**{"model.kind": "bigram_counts"}))
    assert found["future"] == found["place"] == "pass"
    assert found["learns"] == found["first loss"] == "skip"
    assert "steps" not in found


def test_going_on_and_forking_are_checked_without_a_trace(
    finished_run: hornbook.Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run.path, run)
    before = files(tmp_path)
    report = check_resume(run, overrides={"training.steps": 20})
    assert not report.failed
    assert "over the last 12 steps before" in reason(report, "first loss")
    assert "8 steps" in reason(report, "time")
    assert not check_fork(f"{run}@8", overrides={"training.learning_rate": 1e-4}).failed
    longer = check_fork(str(run), overrides={"context_length": 32, "training.steps": 20})
    assert "learned before" in reason(longer, "first loss")
    assert files(tmp_path) == before
    with pytest.raises(RunError, match="is a run already"):
        check_fork(str(run), out=run, overrides={"training.steps": 20})


def test_a_run_without_checkpoint_is_checked_on_a_copy(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("hornbook.training.loop.TrainingLoop.run", _broken)
        with pytest.raises(RuntimeError, match="power"):
            train_fast(tmp_path / "run")
    before = files(tmp_path)
    assert not check_resume(tmp_path / "run").failed
    assert files(tmp_path) == before


def _broken(loop: Any) -> None:
    raise RuntimeError("the power failed")


def test_a_warm_start_is_checked(check: Any, finished_run: hornbook.Run) -> None:
    report = check(**{"training.init_from": str(finished_run.path)})
    assert not report.failed
    assert "learned before" in reason(report, "first loss")


def test_weights_of_another_run_are_noticed_on_resume(
    finished_run: hornbook.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornbook.training.preflight_loss.mean_loss", lambda *_: 7.5)
    report = check_resume(finished_run.path, overrides={"training.steps": 20})
    assert [check.name for check in report.failed] == ["first loss"]


# The text and the tokens.


@pytest.fixture
def data(finished_run: hornbook.Run) -> tuple[Any, TokenStore, Any]:
    config = finished_run.config
    _, store = find_store(finished_run.folder, config, finished_run.manifest)
    return read_corpus(config)[1], store, finished_run.tokenizer


def lossy(monkeypatch: pytest.MonkeyPatch, family: type) -> None:
    """Let tokenizers of a family lose the last token of every text."""
    original = family._encode_all

    def encode(self: Any, contents: Any, size: int, threads: int) -> Iterator[Any]:
        return (ids[:-1] for ids in original(self, contents, size, threads))

    monkeypatch.setattr(family, "_encode_all", encode)


def test_text_that_comes_back_passes(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    split, store, tokenizer = data
    whole = round_trip(split, store, tokenizer)
    facts = split.facts
    assert whole.verdict == "pass"
    assert whole.numbers["bytes"] == facts.training.bytes + facts.validation.bytes
    assert bytes_are_kept(store, tokenizer).verdict == "pass"
    monkeypatch.setattr(preflight_data, "WHOLE_UP_TO", whole.numbers["bytes"] - 1)
    some = round_trip(split, store, tokenizer)
    assert some.verdict == "pass"
    assert "every 2nd" in some.reason or "every 2th" in some.reason
    assert 0 < some.numbers["bytes"] < whole.numbers["bytes"]


def test_a_tokenizer_that_loses_a_byte_fails(
    data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    split, _, tokenizer = data
    lossy(monkeypatch, BPETokenizer)
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path))
    store = make_store(split, tokenizer)
    for found in (round_trip(split, store, tokenizer), bytes_are_kept(store, tokenizer)):
        assert found.verdict == "fail"
        assert found.grave


def test_tokens_of_another_text_fail(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    split, store, tokenizer = data
    changed = np.array(store.training.slice(0, len(store.training)), dtype=np.uint16)
    changed[100] = tokenizer.encode("Q")[0]
    monkeypatch.setattr(store.training, "_shards", [changed])
    assert round_trip(split, store, tokenizer).verdict == "fail"
    changed[100] = 60_000
    assert round_trip(split, store, tokenizer).verdict == "fail"
    assert bytes_are_kept(store, tokenizer).verdict == "fail"
    found = counted_data(store, windows=9, validation_windows=None, examples=9, batch_size=2,
                         vocab_size=300)  # fmt: skip
    assert found.verdict == "fail"
    assert "60,000" in found.reason


def test_text_outside_the_vocabulary_has_no_verdict(check: Any) -> None:
    settings = {"tokenizer.kind": "char", "tokenizer.unknown": "token", "tokenizer.vocab_size": 20}
    report = check(**settings)
    assert verdicts(report)["round trip"] == "skip"
    assert "<?>" in reason(report, "round trip")


def test_no_example_or_no_validation_window_fails(data: Any) -> None:
    _, store, tokenizer = data
    for windows, validation in ((0, None), (9, 0)):
        found = counted_data(store, windows=windows, validation_windows=validation, examples=9,
                             batch_size=2, vocab_size=tokenizer.vocab_size)  # fmt: skip
        assert found.verdict == "fail"


# The machine.


def test_a_device_that_computes_wrong_fails(finished_run: hornbook.Run) -> None:
    equipment = choose_equipment(finished_run.config)
    assert device_computes(equipment).verdict == "pass"

    class Liar(Precision):
        def products(self) -> Any:
            return torch.autocast("cpu", dtype=torch.bfloat16)

    lying = Liar("float32", "as it says", torch.device("cpu"))
    wrong = type(equipment)(equipment.device, lying, equipment.compiling, equipment.threads)
    assert device_computes(wrong).verdict == "fail"


def test_a_place_that_cannot_be_written_or_is_full_fails(
    check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ready() -> Any:
        return place_is_ready(tmp_path / "a" / "b", exists=False, checkpoint_bytes=1000,
                              checkpoints=3)  # fmt: skip

    assert ready().verdict == "pass"
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(tmp_path)._replace(free=2999)
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        assert ready().verdict == "fail"
        assert "keep_checkpoints" in ready().reason
    original = Path.mkdir

    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        if self.parent == tmp_path:
            raise PermissionError(13, "Permission denied")
        original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert "Permission denied" in ready().reason
    report = check()
    assert [found.name for found in report.failed] == ["place"]


def test_a_step_that_does_not_fit_says_what_would(
    check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Transformer.hidden

    def small(self: Transformer, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if (
            self.training
            and torch.is_grad_enabled()
            and len(tokens) > 2
            and bool((tokens < 1 << 30).all())  # labels are no step
        ):
            raise torch.OutOfMemoryError
        return original(self, tokens, *args, **kwargs)

    monkeypatch.setattr(Transformer, "hidden", small)
    report = check()
    assert [found.name for found in report.failed] == ["steps", "memory"]
    assert "training.micro_batch_size=2" in reason(report, "memory")
    assert verdicts(report)["time"] == "skip"
    assert verdicts(check(**{"training.micro_batch_size": 2}))["memory"] == "pass"


def test_numbers_that_are_none_fail(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Transformer.head
    monkeypatch.setattr(Transformer, "head", lambda self, x: original(self, x) * float("nan"))
    failed = [found.name for found in check().failed]
    assert {"first loss", "learns", "steps"} <= set(failed)


# The quick part, which every training makes.


class Notices(Listener):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notice(self, text: str) -> None:
        self.told.append(text)


def test_training_refuses_a_model_that_sees_the_future(
    train_fast: Train, finished_run: hornbook.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Transformer.hidden

    def peeking(self: Transformer, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, tokens, *args, **kwargs)
        return features + 0.1 * features.roll(-1, dims=1), state

    monkeypatch.setattr(Transformer, "hidden", peeking)
    with pytest.raises(TrainingStopped, match="future") as caught:
        train_fast(tmp_path / "run")
    assert "Before step 1" in str(caught.value)
    assert not list_checkpoints(tmp_path / "run")
    with pytest.raises(TrainingStopped, match="future"):
        fork(str(finished_run.path), out=tmp_path / "fork", overrides={"training.steps": 20})


def test_training_refuses_tokens_that_lost_text(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lossy(monkeypatch, CharTokenizer)
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(TrainingStopped, match="round trip"):
        train_fast(tmp_path / "run", **{"tokenizer.kind": "char"})


def test_training_tells_a_loss_that_begins_too_high(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Transformer.head
    monkeypatch.setattr(Transformer, "head", lambda self, x: 300 * original(self, x))
    listener = Notices()
    train_fast(tmp_path / "run", listener=listener, **{"training.steps": 3})
    assert any("first loss is doubtful" in text and "too large" in text for text in listener.told)


def test_a_sound_run_hears_nothing(train_fast: Train, tmp_path: Path) -> None:
    listener = Notices()
    train_fast(tmp_path / "run", listener=listener, **{"training.steps": 3})
    assert not [text for text in listener.told if "doubtful" in text]
