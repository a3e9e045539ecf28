"""What a run is trained with: precision, compiler, recomputation, threads; each exact on resume."""

from __future__ import annotations

import copy
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import hornbook
from hornbook import compiled_call
from hornbook.data import Batch
from hornbook.errors import ConfigError
from hornbook.listener import Listener
from hornbook.models import Transformer, TransformerConfig, build_model
from hornbook.runs.assembly import make_optimizer
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.resolution import resolve
from hornbook.training import precision, threads
from hornbook.training.compiling import choose_compile
from hornbook.training.equipment import choose_equipment, make_step
from hornbook.training.precision import Precision, choose_precision
from hornbook.training.threads import choose_threads, cores_of, cpus_worth_of_time, threads_in_use

Train = Callable[..., hornbook.Run]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Watcher(Listener):
    """Keeps what is told, and stops after a step."""

    def __init__(self, stop_at: int = 0) -> None:
        self.notices: list[str] = []
        self.stop_at = stop_at

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.stop_at:
            signal.raise_signal(signal.SIGINT)


def tensors(run: hornbook.Run) -> tuple[bytes, bytes]:
    folder = list_checkpoints(run.path)[-1].folder
    model, optimizer = folder / "model.safetensors", folder / "optimizer.safetensors"
    return model.read_bytes(), optimizer.read_bytes()


def resumes_exactly(
    train_fast: Train, tmp_path: Path, stop_at: int = 7, /, **settings: Any
) -> hornbook.Run:
    """Train under ``settings`` in one go and in two; both must end in the same bytes."""
    whole = train_fast(tmp_path / "whole", **settings)
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "parts", listener=Watcher(stop_at), **settings)
    assert tensors(hornbook.resume(tmp_path / "parts")) == tensors(whole)
    return whole


# --- precision


@pytest.mark.parametrize(
    ("capability", "name"),
    [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")],
)
def test_auto_takes_what_the_card_multiplies_fastest(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    found = choose_precision("auto", CUDA)
    assert found.name == name
    assert f"compute capability {capability[0]}.{capability[1]}" in str(found)
    assert found.scaled == (name == "float16")


@pytest.mark.parametrize(
    ("features", "name", "reason"),
    [
        ({"avx512_bf16": True}, "bfloat16", "AVX-512 BF16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "bfloat16", "AMX BF16"),
        ({"avx2": True, "avx512_bf16": False}, "float32", "this processor"),
        ({}, "float32", "this processor"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_a_unit_for_it(
    features: dict[str, bool], name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornbook.processor.processor_features", lambda: features)
    found = choose_precision("auto", CPU)
    assert found.name == name
    assert reason in str(found)


def test_auto_elsewhere_is_float32_until_something_was_measured() -> None:
    assert choose_precision("auto", torch.device("mps")).name == "float32"
    assert choose_precision("float32", CPU).reason == "as asked for"


def test_tf32_is_set_on_cuda_alone_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = state()
    with Precision("float32", "", CUDA, tf32=True).in_use():
        assert state() == ("high", True)
        with Precision("float32", "", CUDA, tf32=False).in_use():
            assert state() == ("highest", False)
        assert state() == ("high", True)
    assert state() == before
    with Precision("float32", "", CPU, tf32=True).in_use():
        assert state() == before


def test_bfloat16_trains_resumes_exactly_and_keeps_float32(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    run = resumes_exactly(train_fast, tmp_path, **{"training.precision": "bfloat16"})
    assert tensors(run) != tensors(finished_run)
    ours, plain = run.metrics()[-1], finished_run.metrics()[-1]
    assert ours["validation_loss"] == pytest.approx(plain["validation_loss"], rel=0.01)
    with safe_open(list_checkpoints(run.path)[-1].folder / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32}  # noqa: SIM118
    assert run.manifest.sessions[-1].hardware["precision"] == "bfloat16 (as asked for)"


# --- compiling


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Compile with something else than Inductor, which takes a minute."""

    def use(name: Any) -> None:
        monkeypatch.setattr(compiled_call, "BACKEND", name)

    yield use
    torch.compiler.reset()


def test_a_compiled_run_resumes_exactly_and_no_wrapper_reaches_a_file(
    backend: Callable[[Any], None], train_fast: Train, tmp_path: Path, finished_run: hornbook.Run
) -> None:
    backend("aot_eager")
    settings = {"training.compile": True, "training.micro_batch_size": 3, "training.steps": 4}
    run = resumes_exactly(train_fast, tmp_path, 3, **settings)
    assert run.manifest.sessions[-1].hardware["compiler"] == "compiled (as asked for)"
    for checkpoint in list_checkpoints(run.path):
        for name in ("model.safetensors", "optimizer.safetensors"):
            with safe_open(checkpoint.folder / name, "pt") as file:
                names = set(file.keys())
            with safe_open(list_checkpoints(finished_run.path)[-1].folder / name, "pt") as file:
                assert names == set(file.keys())
    ours, plain = run.metrics()[0], finished_run.metrics()[0]
    assert ours["training_loss"] == pytest.approx(plain["training_loss"], rel=1e-3)


@pytest.mark.parametrize("fails_in", ["forward", "backward", "second shape"])
def test_training_goes_on_when_compiling_fails_and_says_why(
    backend: Callable[[Any], None],
    train_fast: Train,
    tmp_path: Path,
    finished_run: hornbook.Run,
    fails_in: str,
) -> None:
    calls = {"n": 0}

    def broken(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        calls["n"] += 1
        if fails_in == "forward" or (fails_in == "second shape" and calls["n"] > 1):
            raise OSError("no compiler: g++ was not found")
        if fails_in == "second shape":
            return graph.forward

        def run(*arguments: Any) -> Any:
            outputs = graph(*arguments)
            for output in outputs:
                if isinstance(output, torch.Tensor) and output.requires_grad:
                    output.register_hook(_no_backward)
            return outputs

        return run

    backend(broken)
    settings: dict[str, Any] = {"training.compile": True}
    if fails_in == "second shape":
        settings["training.micro_batch_size"] = 3
    watcher = Watcher()
    run = train_fast(tmp_path / "run", listener=watcher, **settings)
    told = [text for text in watcher.notices if text.startswith("compiling failed")]
    reason = "RuntimeError: no backward" if fails_in == "backward" else "no compiler: g++"
    assert len(told) == 1
    assert reason in told[0]
    assert "training goes on without" in told[0]
    if fails_in != "second shape":
        assert tensors(run) == tensors(finished_run)


def _no_backward(gradient: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no backward")


def test_what_is_wrong_with_the_model_is_not_blamed_on_the_compiler(
    backend: Callable[[Any], None],
    train_fast: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend("eager")

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Transformer, "hidden", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        train_fast(tmp_path / "run", **{"training.compile": True})


def test_compiling_is_chosen_where_it_can_work_and_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    def choice(device: torch.device, **settings: Any) -> tuple[bool, str]:
        wanted = {"training.compile": "auto", "training.steps": 5000, **settings}
        found = choose_compile(resolve(preset="tiny", overrides=wanted), device)
        return found.compiled, found.reason

    monkeypatch.setattr("hornbook.training.compiling.find_spec", lambda name: object())
    assert choice(CUDA) == (True, "auto: fewer and larger kernels")
    assert choice(CUDA, **{"training.steps": 50})[0] is False
    assert choice(CPU)[0] is False
    assert choice(CPU, **{"training.compile": True}) == (True, "as asked for")
    assert choice(CUDA, **{"training.compile": False}) == (False, "as asked for")
    gru = {"model.kind": "gru", "training.compile": True}
    assert "gru" in choice(CUDA, **gru)[1]
    packed = {"data.windows": "packed", "training.compile": True}
    assert "shape of its own" in choice(CPU, **packed)[1]
    assert choice(CUDA, **packed)[0] is True
    monkeypatch.setattr("hornbook.training.compiling.find_spec", lambda name: None)
    assert choice(CUDA, **{"training.compile": True}) == (
        False, "there is no Triton here, which makes kernels for CUDA",
    )  # fmt: skip


def test_compile_takes_auto_true_and_false_alone() -> None:
    for word, value in (("auto", "auto"), ("true", True), ("False", False)):
        config = resolve(overrides=[f"training.compile={word}"])
        assert config.training.compile == value
    with pytest.raises(ConfigError, match="training.compile=fast: should be auto, true or false"):
        resolve(overrides=["training.compile=fast"])


# --- activation checkpointing


@pytest.mark.parametrize("more", [{}, {"token_shift": True, "input_skip": True}], ids=str)
def test_recomputed_blocks_give_the_same_gradients_to_the_bit(more: dict[str, Any]) -> None:
    settings = TransformerConfig(
        layers=3, heads=2, d_model=16, dropout=0.3, attention_dropout=0.2, **more
    )
    plain = build_model(settings, vocab_size=40, context_length=8, seed=1).train()
    recomputed = copy.deepcopy(plain)
    tokens = torch.randint(0, 40, (4, 8), generator=torch.Generator().manual_seed(1))
    segments = torch.arange(8).expand(4, 8) // 3
    parts = [
        Batch(tokens[:3], tokens[:3], 24, None, segments[:3]),
        Batch(tokens[3:], tokens[3:], 8),
    ]
    gradients = []
    for model, wanted in ((plain, False), (recomputed, True)):
        config = resolve(overrides={"training.activation_checkpointing": wanted})
        step = make_step(config, choose_equipment(config), model, make_optimizer(config, model))
        step(parts, learning_rate=1e-2, dropout_seed=5)
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient is not None
        assert torch.equal(gradient, gradients[1][name]), name  # pyright: ignore[reportArgumentType]


def test_recomputed_blocks_keep_less() -> None:
    kept: list[int] = []
    for wanted in (False, True):
        settings = TransformerConfig(layers=6, heads=2, d_model=32)
        model = build_model(settings, vocab_size=40, context_length=32, seed=1).train()
        config = resolve(overrides={"training.activation_checkpointing": wanted})
        make_step(config, choose_equipment(config), model, make_optimizer(config, model))
        sizes: dict[int, int] = {}

        def keep(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(torch.zeros(8, 32, dtype=torch.long))
        kept.append(sum(sizes.values()))
    assert kept[1] < kept[0] / 3


def test_a_run_with_recomputed_blocks_is_the_same_run(
    train_fast: Train, tmp_path: Path, finished_run: hornbook.Run
) -> None:
    run = resumes_exactly(train_fast, tmp_path, **{"training.activation_checkpointing": True})
    assert tensors(run) == tensors(finished_run)
    with pytest.raises(ConfigError, match=r"activation_checkpointing=true: works on the blocks"):
        train_fast(
            tmp_path / "gru", **{"training.activation_checkpointing": True, "model.kind": "gru"}
        )


# --- threads


def test_threads_are_the_physical_cores_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "physical_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert choose_threads(0) == 6
    assert choose_threads(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert choose_threads(0) == 2
    assert choose_threads(3) == 3


def test_cores_are_counted_once_however_many_threads_they_have(tmp_path: Path) -> None:
    for cpu, siblings in {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5", 6: "6"}.items():
        place = tmp_path / f"cpu{cpu}/topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(f"{siblings}\n")
    assert cores_of({0, 1, 4, 5, 6}, tmp_path) == 3
    assert cores_of({0, 4}, tmp_path) == 1
    assert cores_of({0, 77}, tmp_path) == 2  # one that the system does not describe


def test_a_container_s_share_of_time_counts(tmp_path: Path) -> None:
    assert cpus_worth_of_time(tmp_path) is None
    for text, expected in (("max 100000", None), ("250000 100000", 3), ("50000 100000", 1)):
        (tmp_path / "cpu.max").write_text(f"{text}\n")
        assert cpus_worth_of_time(tmp_path) == expected
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    for quota, expected in (("-1", None), ("400000", 4)):
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
        assert cpus_worth_of_time(tmp_path) == expected


def test_threads_are_put_back_after_training(train_fast: Train, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    class Look(Listener):
        def stepped(self, step: int, loss: float, tokens: int) -> None:
            seen.append(torch.get_num_threads())

    settings = {"training.threads": before + 1, "training.steps": 3}
    run = train_fast(tmp_path / "run", listener=Look(), **settings)
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before
    assert run.manifest.sessions[-1].hardware["threads"] == str(before + 1)
    with pytest.raises(ZeroDivisionError), threads_in_use(before + 2):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


# --- all of it


def test_what_was_chosen_is_told(train_fast: Train, tmp_path: Path) -> None:
    watcher = Watcher()
    train_fast(tmp_path / "run", listener=watcher, **{"training.threads": 1})
    told = next(text for text in watcher.notices if text.startswith("trains on"))
    assert told.startswith("trains on cpu with 1 thread, float32 (")
    assert told.endswith(", not compiled (as asked for)") or "not compiled (auto" in told


def test_how_a_run_is_computed_may_change_when_it_goes_on(
    train_fast: Train, tmp_path: Path
) -> None:
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=Watcher(3))
    changes = ["training.precision=bfloat16", "training.threads=1", "training.tf32=true"]
    changes.append("training.activation_checkpointing=true")
    run = hornbook.resume(tmp_path / "run", overrides=changes)
    assert run.checkpoints()[-1].step == 12
    assert set(run.manifest.sessions[-1].changed) == {word.partition("=")[0] for word in changes}
    assert math.isfinite(run.metrics()[-1]["validation_loss"])


def test_the_choices_are_told_in_words() -> None:
    assert str(Precision("float32", "x", CUDA, tf32=True)) == "float32, TF32 (x)"
    assert precision.choose_precision("bfloat16", CPU).name == "bfloat16"
