"""Batch sizes on a device: what stops them, what is read of memory and power, what is advised."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hornbook
from hornbook.errors import ConfigError, RunError
from hornbook.inspection.accounting.account import plan_of
from hornbook.inspection.accounting.peak import TOLERANCE, training_memory
from hornbook.listener import Listener
from hornbook.runs.assembly import find_store
from hornbook.runs.resolution import resolve
from hornbook.training import device_sweep, free_memory, power
from hornbook.training.device_speed import saturating_batch, suggest_rate, time_of
from hornbook.training.device_sweep import Sweep, measure_devices
from hornbook.training.free_memory import SAFE

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch size has to be measured for a whole second."""
    monkeypatch.setattr(device_sweep, "LEAST_SECONDS", 0.0)


@pytest.fixture
def sweep(finished_run: hornbook.Run) -> Callable[..., Sweep]:
    """``sweep(seconds=1, **{"training.device": "auto"})`` over the text of the finished run."""

    def make(*, seconds: float = 30, steps: int = 3, windows: int = 8, **changes: Any) -> Sweep:
        run = finished_run
        config, store = find_store(run.folder, run.config, run.manifest)
        config = resolve(base=config, overrides={"training.threads": 1, **changes})
        return Sweep(config, run.tokenizer, store, steps, windows, seconds)

    return make


def test_batches_double_up_to_what_the_text_has(sweep: Callable[..., Sweep]) -> None:
    wanted = sweep(context_length=512)
    before = torch.get_num_threads()
    (found,) = measure_devices(wanted)
    sizes = [row.batch for row in found.batches]
    count = sizes[-1]
    powers = [1 << power for power in range(20) if 1 << power <= count]
    assert sizes == sorted({*powers, count})
    assert found.ended == f"the text has no more than {count} windows"
    assert (found.device, torch.get_num_threads()) == ("cpu", before)
    for row in found.batches:
        assert row.steps >= 3
        assert row.windows_per_second == pytest.approx(row.batch / row.step_seconds)
        assert not row.steps_projected
        assert row.windows_projected == (row.steps * row.batch < wanted.windows)
        assert row.expected_memory > 0
    assert [row.threads for row in found.threads] == sorted({row.threads for row in found.threads})
    assert 1 in {row.threads for row in found.threads}
    assert {row.batch for row in found.threads} <= set(sizes)


def test_what_should_not_fit_is_never_tried(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = sweep()
    plan = plan_of(wanted.config, wanted.tokenizer.vocab_size, device="cpu", short=False, batch=1)
    room = training_memory(plan.with_batch(11)).peak * (1 + TOLERANCE) / SAFE + 1000
    monkeypatch.setattr(device_sweep, "free_memory", lambda device: math.ceil(room))
    tried: list[int] = []
    take = device_sweep.fresh_steps

    def noting(config: Any, *rest: Any) -> Any:
        tried.append(config.training.batch_size)
        return take(config, *rest)

    monkeypatch.setattr(device_sweep, "fresh_steps", noting)
    # The process itself is larger than this machine, so its own memory is left out of account.
    monkeypatch.setattr(device_sweep, "_taken", lambda reading: None)
    (found,) = measure_devices(wanted)
    assert found.fits == 11
    assert [row.batch for row in found.batches] == [1, 2, 4, 8, 11]
    assert max(tried) == 11
    assert "12 windows would take more than 80%" in found.ended


def test_a_batch_that_took_more_than_expected_stops_the_rest(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_sweep, "free_memory", lambda device: 10**9)
    monkeypatch.setattr(device_sweep, "_taken", lambda reading: 5 * 10**8)
    (found,) = measure_devices(sweep())
    assert [row.batch for row in found.batches] == [1]
    assert found.ended == "2 windows could take 1.0 GB, more than 80% of the 1.0 GB that are free"
    assert found.saturated_from is None  # one row says nothing


def test_running_out_of_memory_ends_the_sweep(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = device_sweep.fresh_steps

    def narrow(config: Any, *rest: Any) -> Any:
        if config.training.batch_size > 2:
            raise torch.OutOfMemoryError("out of memory")
        return take(config, *rest)

    monkeypatch.setattr(device_sweep, "fresh_steps", narrow)
    (found,) = measure_devices(sweep())
    assert [row.batch for row in found.batches] == [1, 2]
    assert "4 windows did not fit into memory, though" in found.ended


def test_time_ends_the_sweep(sweep: Callable[..., Sweep]) -> None:
    (found,) = measure_devices(sweep(seconds=0.001, steps=1000))
    assert [row.batch for row in found.batches] == [1]
    assert "2 windows would take" in found.ended
    row = found.batches[0]
    assert row.steps_projected
    assert row.seconds_for_steps > row.step_seconds


def test_a_machine_without_any_room_is_told(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_sweep, "free_memory", lambda device: 1000)
    with pytest.raises(RunError, match=r"Nothing could be measured on cpu: 1 window would take"):
        measure_devices(sweep())


def test_a_device_that_cannot_do_what_is_asked_is_left_out(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Notices(Listener):
        def __init__(self) -> None:
            self.texts: list[str] = []

        def notice(self, text: str) -> None:
            self.texts.append(text)

    made = sweep(**{"training.device": "auto"})
    heard = Notices()
    wanted = Sweep(made.config, made.tokenizer, made.store, 1, 1, 0.1, heard)
    monkeypatch.setattr(device_sweep, "devices_here", lambda: [CPU, torch.device("cuda", 7)])
    assert [found.device for found in measure_devices(wanted)] == ["cpu"]
    assert [text for text in heard.texts if "cuda:7 is left out: training.device=cuda:7" in text]
    monkeypatch.setattr(device_sweep, "devices_here", lambda: [torch.device("cuda", 7)])
    with pytest.raises(ConfigError, match="cuda:7"):
        measure_devices(wanted)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({1: 10.0}, None),
        ({1: 10.0, 2: 8.9}, 1),
        ({1: 8.99, 2: 10.0}, None),
        ({1: 9.0, 2: 10.0}, 1),
        ({1: 1.0, 2: 9.5, 4: 9.6, 8: 10.0, 16: 7.0}, 2),
    ],
)
def test_the_saturating_batch(rates: dict[int, float], expected: int | None) -> None:
    assert saturating_batch(rates) == expected


def test_time_is_projected_at_the_mean() -> None:
    seconds = [3.0, 1.0, 2.0]
    assert [time_of(seconds, steps) for steps in (1, 3, 4.5)] == [3.0, 6.0, 9.0]


@pytest.mark.parametrize(
    ("kind", "rule", "rate"), [("sgd", "linear", 4e-3), ("adamw", "sqrt", 2e-3)]
)
def test_the_suggested_words_resolve_to_the_suggested_rate(
    kind: str, rule: str, rate: float
) -> None:
    changes = {"training.optimizer.kind": kind, "training.learning_rate": 1e-3}
    config = resolve(preset="tiny", overrides={**changes, "training.batch_size": 8})
    found = suggest_rate(config.training, 32)
    assert found is not None
    assert (found.rule, found.steps) == (rule, config.training.steps // 4)
    tried = resolve(base=config, overrides=found.settings)
    assert tried.training.batch_size == 32
    assert tried.training.peak_learning_rate == pytest.approx(rate)
    # With a rule already in the settings, the base stays the one that the rate is for.
    again = suggest_rate(tried.training, 128)
    assert again is not None
    assert (again.base, again.rates["linear"]) == (8, pytest.approx(16e-3))


def test_power_of_packages(tmp_path: Path) -> None:
    for number, (name, counter) in enumerate({"package-0": 900, "psys": 5}.items()):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{counter}\n")
        (folder / "max_energy_range_uj").write_text("1000\n")
    with power.watched_power(CPU, powercap=tmp_path) as reading:
        (tmp_path / "intel-rapl:0/energy_uj").write_text("100\n")  # past its end: 200 more
        (tmp_path / "intel-rapl:1/energy_uj").write_text("999\n")  # holds the package as well
    assert reading.watts is not None
    assert 0 < reading.watts < 200e-6 / 1e-9
    assert reading.source.startswith("RAPL")


def test_power_that_cannot_be_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with power.watched_power(CPU, powercap=tmp_path / "absent") as reading:
        pass
    assert (reading.watts, reading.source) == (None, f"no RAPL under {tmp_path / 'absent'}")
    folder = tmp_path / "intel-rapl:0"
    (folder / "energy_uj").mkdir(parents=True)  # cannot be read, by nobody
    (folder / "name").write_text("package-0")
    with power.watched_power(CPU, powercap=tmp_path) as reading:
        pass
    assert (reading.watts, reading.source) == (None, "only root may read RAPL here")
    with power.watched_power(torch.device("mps")) as reading:
        pass
    assert (reading.watts, reading.source) == (None, "mps does not say")


def test_power_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda", 0)
    monkeypatch.setattr(power, "LONG_ENOUGH", 0.0)
    monkeypatch.setattr(torch.cuda, "power_draw", lambda device: 312_500, raising=False)
    with power.watched_power(card) as reading:
        pass
    assert (reading.watts, reading.source) == (312.5, "NVML, the whole card")

    def absent(device: torch.device) -> int:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    asked: list[list[str]] = []

    def smi(words: list[str], **_: Any) -> Any:
        asked.append(words)
        return subprocess.CompletedProcess(words, 0, stdout="88.10\n", stderr="")

    class Properties:
        uuid = "1234-ab"

    monkeypatch.setattr(torch.cuda, "power_draw", absent, raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties())
    monkeypatch.setattr(subprocess, "run", smi)
    with power.watched_power(card) as reading:
        pass
    assert (reading.watts, reading.source) == (88.1, "nvidia-smi, the whole card")
    assert asked[0][-1] == "--id=GPU-1234-ab"
    monkeypatch.setattr(power, "LONG_ENOUGH", 60.0)
    with power.watched_power(card) as reading:
        pass
    assert reading.watts is None
    assert "too short" in reading.source


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "memory.max": "1000",
                "memory.current": "700",
                "memory.stat": "anon 500\ninactive_file 150",
            },
            450,
        ),
        ({"memory.max": "max", "memory.current": "700", "memory.stat": "anon 500"}, None),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "400",
                "memory/memory.stat": "total_inactive_file 100",
            },
            700,
        ),
        ({}, None),
    ],
)
def test_what_a_container_has_left(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory.of_container(tmp_path) == expected


def test_a_narrower_container_around_another_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [tmp_path, tmp_path / "job"]
    groups[1].mkdir()
    for group, most in zip(groups, (900, 1000), strict=True):
        (group / "memory.max").write_text(str(most))
        (group / "memory.current").write_text("100")
    monkeypatch.setattr(free_memory, "own_groups", lambda folder: groups)
    assert free_memory.of_container(tmp_path) == 800


def test_what_the_machine_has_left(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  2000 kB\nMemAvailable:  1500 kB\n")
    assert free_memory.of_machine(meminfo) == 1500 << 10
    meminfo.write_text("MemTotal:  2000 kB\n")
    assert free_memory.of_machine(meminfo) is None
    assert free_memory.of_machine(tmp_path / "absent") is None


def test_the_lesser_of_machine_and_container_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_memory.sys, "platform", "linux")
    monkeypatch.setattr(free_memory, "of_machine", lambda file: 700)
    monkeypatch.setattr(free_memory, "of_container", lambda folder: 300)
    assert free_memory.free_memory(CPU) == 300
    monkeypatch.setattr(free_memory, "of_container", lambda folder: None)
    assert free_memory.free_memory(CPU) == 700
    monkeypatch.setattr(free_memory, "of_machine", lambda file: None)
    monkeypatch.setattr(free_memory, "memory_there", lambda device: 900)
    assert free_memory.free_memory(CPU) == 450
