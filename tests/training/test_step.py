"""One step against PyTorch's own pieces, and the device's way of stopping against the program's."""

from __future__ import annotations

import copy
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

import hornbook
from hornbook.data import Batch
from hornbook.errors import ConfigError, TrainingStopped
from hornbook.listener import Listener
from hornbook.models import LanguageModel, Transformer, TransformerConfig, build_model
from hornbook.optimization import optimizer_tensors
from hornbook.runs.assembly import make_optimizer
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.training import equipment as equipment_module
from hornbook.training import loop as loop_module
from hornbook.training import loss_scale as loss_scale_module
from hornbook.training import step as step_module
from hornbook.training.equipment import choose_equipment, make_step
from hornbook.training.gradients import gradient_norms
from hornbook.training.loss_scale import LossScale
from hornbook.training.precision import Precision
from hornbook.training.step import TrainingStep, read
from hornbook.training.updates import snapshot, update_ratios
from hornbook.training.watching import TIMED

Train = Callable[..., hornbook.Run]


def weights(run: hornbook.Run) -> dict[str, bytes]:
    folder = list_checkpoints(run.path)[-1].folder
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "state.json")} | {
        "optimizer": (folder / "optimizer.safetensors").read_bytes()
    }


def tensors(run: hornbook.Run) -> tuple[bytes, bytes]:
    found = weights(run)
    return found["model.safetensors"], found["optimizer"]


def untimed(run: hornbook.Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in TIMED} for line in run.metrics()]


class StopAt(Listener):
    def __init__(self, step: int) -> None:
        self.step = step
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def model() -> LanguageModel:
    settings = TransformerConfig(layers=2, heads=2, d_model=16, dropout=0.2)
    return build_model(settings, vocab_size=40, context_length=8, seed=1).train()


def batch(seed: int = 1) -> Batch:
    tokens = torch.randint(0, 40, (4, 8), generator=torch.Generator().manual_seed(seed))
    return Batch(tokens, (tokens * 3 + 1) % 40, 32)


def step_of(model: LanguageModel, precision: Precision | None = None, **plan: Any) -> TrainingStep:
    config = hornbook.RunConfig.model_validate({"training": {"learning_rate": 1e-2, **plan}})
    equipment = choose_equipment(config)
    if precision is not None:
        equipment = equipment_module.Equipment(
            equipment.device, precision, equipment.compiling, equipment.threads
        )
    return make_step(config, equipment, model, make_optimizer(config, model))


@pytest.mark.parametrize("clip", [0.0, 0.05, 100.0])
def test_a_step_is_what_torch_does_by_hand(model: LanguageModel, clip: float) -> None:
    theirs = copy.deepcopy(model)
    by_hand = torch.optim.AdamW(
        [
            {"params": [p for p in theirs.parameters() if p.ndim > 1][1:], "weight_decay": 0.1},
            {"params": [theirs.get_parameter("token_embedding.weight")], "weight_decay": 0.0},
            {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=1e-2,
        betas=(0.9, 0.95),
        fused=True,
    )
    step = step_of(model, gradient_clip=clip)
    for seed in (1, 2, 3):
        found = step([batch(seed)], learning_rate=1e-2, dropout_seed=seed)
        torch.manual_seed(step_module.stream_seed(seed, "part", 0))
        by_hand.zero_grad()
        logits, _ = theirs(batch(seed).tokens)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch(seed).targets.flatten()
        )
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip or math.inf)
        by_hand.step()
        torch.testing.assert_close(found.loss, loss.detach(), rtol=1e-6, atol=0)
        torch.testing.assert_close(found.gradient_norm, norm, rtol=1e-5, atol=0)
        assert found.gradient_norm.item() == pytest.approx(found.tensor_norms.norm().item())
    for ours, other in zip(model.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-6)


def test_norms_are_those_of_each_tensor() -> None:
    gradients = [torch.randn(3, 4), torch.randn(5), torch.zeros(2)]
    torch.testing.assert_close(
        gradient_norms(gradients), torch.stack([g.norm() for g in gradients])
    )


def test_the_ratio_of_an_update_is_its_length_over_that_of_the_weights(
    model: LanguageModel,
) -> None:
    step = step_of(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = step([batch()], learning_rate=1e-2, dropout_seed=1, measuring=True)
    assert found.update_ratios is not None
    for group, ratio in zip(step.optimizer.param_groups, found.update_ratios, strict=True):
        mine = {
            name for name, p in model.named_parameters() if any(p is q for q in group["params"])
        }
        after = dict(model.named_parameters())
        moved = math.sqrt(sum(((after[n] - before[n]) ** 2).sum().item() for n in mine))
        length = math.sqrt(sum((before[n] ** 2).sum().item() for n in mine))
        assert ratio.item() == pytest.approx(moved / length, rel=1e-5)
    unmoved = snapshot(step.optimizer)
    assert update_ratios(step.optimizer, unmoved).tolist() == [0.0] * len(unmoved)


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
def test_the_device_stops_by_itself_exactly_before_the_bad_step(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As on a CUDA device: nothing is read, and the flag decides."""
    twin = copy.deepcopy(model)
    optimizer: dict[str, Any] = {"optimizer": {"kind": kind}}
    plain = step_of(twin, **optimizer)
    for seed in (1, 2):
        plain([batch(seed)], learning_rate=1e-2, dropout_seed=seed)
    monkeypatch.setattr(step_module, "reads_late", lambda device: True)
    late = step_of(model, **optimizer)
    monkeypatch.setattr(torch.Tensor, "item", _nobody_waits)
    monkeypatch.setattr(torch.Tensor, "__bool__", _nobody_waits)
    results = [late([batch(seed)], learning_rate=1e-2, dropout_seed=seed) for seed in (1, 2)]
    hook = model.get_parameter("blocks.1.feedforward.down.weight").register_hook(
        lambda gradient: gradient * math.inf
    )
    results.append(late([batch(3)], learning_rate=1e-2, dropout_seed=3))
    hook.remove()
    results.append(late([batch(4)], learning_rate=1e-2, dropout_seed=4))
    monkeypatch.undo()
    assert [reading.applied for reading in read(results)] == [True, True, False, False]
    error = step_module.not_finite(results[2], read(results)[2])
    assert error.what == "the gradient of blocks.1.feedforward.down.weight is not finite"
    for ours, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, other)
    ours, theirs = (optimizer_tensors(s.optimizer, s.model) for s in (late, plain))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def _nobody_waits(tensor: torch.Tensor) -> Any:
    raise AssertionError("a number was asked for within a step")


def test_a_run_that_is_read_late_is_the_same_run(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (step_module, loop_module):
        monkeypatch.setattr(module, "reads_late", lambda device: True)
    late = train_fast(tmp_path / "run")
    assert tensors(late) == tensors(finished_run)
    assert untimed(late) == untimed(finished_run)
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "stopped", listener=StopAt(7))
    assert tensors(hornbook.resume(tmp_path / "stopped")) == tensors(finished_run)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_bad_step_that_is_read_late_leaves_the_weights_before_it(
    finished_run: hornbook.Run,
    train_fast: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    for module in (step_module, loop_module):
        monkeypatch.setattr(module, "reads_late", lambda device: True)
    original, calls = Transformer.hidden, {"n": 0}

    def poisoned(self: Transformer, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, *args, **kwargs)
        calls["n"] += self.training
        if self.training and calls["n"] == 6:
            if where == "loss":
                features = features * math.nan
            else:
                features.register_hook(lambda gradient: gradient * math.inf)
        return features, state

    plan = {"training.log_every": 100, "training.evaluate_every": 0}
    plan |= {"training.sample_every": 0, "training.checkpoint_every": 0}
    with monkeypatch.context() as patch:
        patch.setattr(Transformer, "hidden", poisoned)
        with pytest.raises(TrainingStopped, match="Step 6") as caught:
            train_fast(tmp_path / "run", **plan)
    assert f"--from {tmp_path / 'run'}@5" in str(caught.value)
    assert list_checkpoints(tmp_path / "run")[-1].step == 5
    assert tensors(hornbook.resume(tmp_path / "run")) == tensors(finished_run)


def test_the_scale_of_the_loss_moves_as_torch_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    interval = 30
    monkeypatch.setattr(loss_scale_module, "GROWTH_INTERVAL", interval)
    ours = LossScale(torch.device("cpu"))
    theirs = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=interval)
    weight = torch.nn.Parameter(torch.ones(2))
    sgd = torch.optim.SGD([weight], lr=0.1)
    pattern = [False, False, *[True] * (interval + 5), False, *[True] * 7, False]
    for number, healthy in enumerate(pattern):
        sgd.zero_grad()
        theirs.scale((weight * (1.0 if healthy else math.inf)).sum()).backward()
        theirs.step(sgd)
        theirs.update()
        ours.update(torch.tensor(healthy))
        kept = theirs.state_dict()
        assert ours.to_json() == {
            "scale": kept["scale"],
            "steps_without_overflow": kept["_growth_tracker"],
        }, number
    restored = LossScale(torch.device("cpu"))
    restored.restore(ours.to_json())
    for healthy in [True] * 30 + [False]:
        restored.update(torch.tensor(healthy))
        ours.update(torch.tensor(healthy))
    assert restored.to_json() == ours.to_json()


FLOAT16 = Precision("float16", "for a test", torch.device("cpu"))
"""What the settings refuse on a CPU, because it is slow; it can be computed all the same."""


def test_a_scaled_step_is_torch_s_scaled_step(model: LanguageModel) -> None:
    theirs = copy.deepcopy(model)
    config = hornbook.RunConfig.model_validate({"training": {"learning_rate": 1e-2}})
    by_hand, scaler = make_optimizer(config, theirs), torch.amp.GradScaler("cpu")
    step = step_of(model, FLOAT16)
    for seed in (1, 2, 3, 4):
        poison = math.inf if seed == 2 else 1.0
        hooks = [
            m.get_parameter("final_norm.weight").register_hook(lambda g, p=poison: g * p)
            for m in (model, theirs)
        ]
        found = step([batch(seed)], learning_rate=1e-2, dropout_seed=seed)
        torch.manual_seed(step_module.stream_seed(seed, "part", 0))
        by_hand.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            logits, _ = theirs(batch(seed).tokens)
        loss = cross_entropy(logits.float().flatten(0, 1), batch(seed).targets.flatten())
        scaler.scale(loss).backward()
        scaler.unscale_(by_hand)
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        scaler.step(by_hand)
        scaler.update()
        for hook in hooks:
            hook.remove()
        assert read([found])[0].applied == (seed != 2)
        if seed != 2:
            torch.testing.assert_close(found.gradient_norm, norm, rtol=1e-3, atol=0)
        assert step.scale is not None
        assert step.scale.to_json()["scale"] == scaler.get_scale()
    for ours, other in zip(model.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=2e-3, atol=1e-4)


@pytest.fixture
def in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs compute in float16 on a CPU, as if the settings allowed it."""
    monkeypatch.setattr(equipment_module, "choose_precision", lambda *_, **__: FLOAT16)


def overflowing(monkeypatch: pytest.MonkeyPatch, begins: int, ends: int) -> None:
    """Let gradients overflow in these forward passes of training."""
    original, calls = Transformer.hidden, {"n": 0}

    def hidden(self: Transformer, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, *args, **kwargs)
        calls["n"] += self.training
        if self.training and begins <= calls["n"] < ends:
            features.register_hook(lambda gradient: gradient * math.inf)
        return features, state

    monkeypatch.setattr(Transformer, "hidden", hidden)


@pytest.mark.usefixtures("in_float16")
def test_overflow_is_skipped_counted_told_and_resumed_exactly(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        overflowing(patch, 3, 5)
        listener = StopAt(100)
        whole = train_fast(tmp_path / "whole", listener=listener)
    state = list_checkpoints(whole.path)[-1].state()
    assert state.skipped_steps == 2
    assert state.skipped_in_a_row == 0
    assert state.loss_scale == {"scale": 2.0**14, "steps_without_overflow": 8}
    assert [line["skipped_steps"] for line in whole.metrics()] == [0, 2, 2, 2, 2, 2]
    assert sum("overflowed float16 and was skipped" in text for text in listener.notices) == 2
    with monkeypatch.context() as patch:
        overflowing(patch, 3, 5)
        with pytest.raises(hornbook.Interrupted):
            train_fast(tmp_path / "run", listener=StopAt(4))
    resumed = hornbook.resume(tmp_path / "run")
    assert tensors(resumed) == tensors(whole)
    assert untimed(resumed) == untimed(whole)


@pytest.mark.usefixtures("in_float16")
def test_too_many_overflows_in_a_row_stop(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "MOST_OVERFLOWS", 4)
    with monkeypatch.context() as patch:
        overflowing(patch, 3, 100)
        with pytest.raises(TrainingStopped, match=r"Step 6: 4 steps in a row overflowed") as caught:
            train_fast(tmp_path / "run")
    assert "training.precision=bfloat16" in str(caught.value)
    assert hornbook.resume(tmp_path / "run").checkpoints()[-1].step == 12


def test_float16_on_a_cpu_is_refused_with_a_reason(train_fast: Train, tmp_path: Path) -> None:
    for device in ("cpu", "auto"):
        if device == "auto" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
            continue
        wanted = {"training.precision": "float16", "training.device": device}
        with pytest.raises(ConfigError, match=r"training\.precision=float16: is slower.*bfloat16"):
            train_fast(tmp_path / "run", **wanted)
    assert not (tmp_path / "run").exists()
