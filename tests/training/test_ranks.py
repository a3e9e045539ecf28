"""Two processes train what one would: the same curve, one run, and nothing lost when one dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_work import CURVES, STOPPED_AFTER
from safetensors.torch import load_file

import hornbook
from hornbook.errors import ConfigError
from hornbook.launch import Launch, launch_of
from hornbook.listener import Listener
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.resolution import resolve
from hornbook.training import threads as threads_module
from hornbook.training.ranks import Ranks
from hornbook.training.sharing import refuse_unshareable
from hornbook.training.watching import TIMED

WORK = Path(__file__).with_name("rank_work.py")
ONE = {"training.micro_batch_size": 2, "model.dropout": 0.2}
"""A run that one process begins and two go on with: each has one part of two windows."""


def torchrun(
    work: str, corpus: Path, folder: Path, settings: dict[str, Any], *options: str
) -> subprocess.CompletedProcess[str]:
    """Let two processes do ``work`` on this machine."""
    source = Path(hornbook.__file__).parents[1]
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *(*options, str(WORK), work, str(corpus), str(folder), json.dumps(settings)),
        ],
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def trained_by_two(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path, fast_settings: dict[str, Any]
) -> Path:
    """A folder with every run that two ranks trained."""

    class Stop(Listener):
        def stepped(self, step: int, loss: float, tokens: int) -> None:
            if step == STOPPED_AFTER:
                os.kill(os.getpid(), 15)

    folder = tmp_path_factory.mktemp("ranks")
    with pytest.raises(hornbook.Interrupted):
        hornbook.train(
            corpus,
            preset="tiny",
            out=folder / "one-left",
            overrides={**fast_settings, **ONE},
            listener=Stop(),
        )
    done = torchrun("compare", corpus, folder, fast_settings, "--standalone")
    assert done.returncode == 0, done.stderr
    return folder


def newest(run: Path) -> dict[str, torch.Tensor]:
    """Weights and the optimizer's state of the newest checkpoint."""
    folder = list_checkpoints(run)[-1].folder
    weights = load_file(folder / "model.safetensors")
    state = load_file(folder / "optimizer.safetensors")
    return weights | {f"optimizer/{name}": tensor for name, tensor in state.items()}


def metrics(run: Path) -> list[dict[str, Any]]:
    """Lines of metrics without what a clock says."""
    lines = hornbook.open_run(run).metrics()
    return [{k: v for k, v in line.items() if k not in TIMED} for line in lines]


def flat(line: dict[str, Any]) -> dict[str, Any]:
    """A line of metrics without groups in groups."""
    ratios = {f"update_ratio.{role}": ratio for role, ratio in line["update_ratio"].items()}
    return {name: value for name, value in line.items() if name != "update_ratio"} | ratios


def assert_alike(run: Path, other: Path) -> None:
    """The same run but for rounding: settings, metrics, samples, weights, optimizer."""
    ours, theirs = newest(run), newest(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=3e-6)
    for line, expected in zip(metrics(run), metrics(other), strict=True):
        assert flat(line) == pytest.approx(flat(expected), rel=1e-4)


@pytest.mark.parametrize("name", list(CURVES))
def test_two_ranks_give_the_curve_of_one(
    name: str, trained_by_two: Path, train_fast: Callable[..., hornbook.Run], tmp_path: Path
) -> None:
    alone = train_fast(tmp_path / "alone", **CURVES[name])
    assert_alike(trained_by_two / name, alone.path)
    sessions = hornbook.open_run(trained_by_two / name).manifest.sessions
    assert [session.hardware["ranks"] for session in sessions] == ["2"]
    assert (trained_by_two / name / "report.html").is_file()


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_ranks_resume_to_the_bit(name: str, trained_by_two: Path) -> None:
    whole, resumed = trained_by_two / name, trained_by_two / f"{name}-resumed"
    ours, theirs = newest(resumed), newest(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert metrics(resumed) == metrics(whole)


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_one_process_goes_on_with_what_two_began(name: str, trained_by_two: Path) -> None:
    left = trained_by_two / f"{name}-left"
    assert list_checkpoints(left)[-1].step == STOPPED_AFTER
    assert_alike(hornbook.resume(left).path, trained_by_two / name)


def test_two_go_on_with_what_one_process_began(
    trained_by_two: Path, train_fast: Callable[..., hornbook.Run], tmp_path: Path
) -> None:
    alone = train_fast(tmp_path / "alone", **ONE)
    assert_alike(trained_by_two / "one-left", alone.path)
    assert not (trained_by_two / "refused").exists()


def test_a_rank_that_dies_ends_all_and_the_job_goes_on(
    corpus: Path,
    fast_settings: dict[str, Any],
    finished_run: hornbook.Run,
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    done = torchrun(
        "die", corpus, tmp_path, fast_settings, "--max-restarts", "1", "--master-port", port
    )
    assert done.returncode == 1
    assert done.stderr.count("ValueError: a mistake of rank 1") == 1, done.stderr
    assert done.stderr.count("the job was restarted and goes on with") == 1
    assert done.stderr.count("hornbook: Step 10: Rank 0 of 2 lost another") == 1
    assert done.stderr.count("hornbook: ") == 1
    assert "[rank0]" not in done.stderr  # a traceback of the rank that did nothing wrong
    (run,) = (tmp_path / "runs").iterdir()
    assert [checkpoint.step for checkpoint in list_checkpoints(run)] == [4, 8]
    assert_alike(hornbook.resume(run).path, finished_run.path)


def test_the_environment_says_who_a_process_is() -> None:
    said = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    meeting = {"MASTER_ADDR": "node-1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "job"}
    assert launch_of(said | meeting) == Launch(3, 8, 1, 2, "job")
    for missing in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        some = {name: value for name, value in (said | meeting).items() if name != missing}
        assert launch_of(some) == Launch()
    alone = {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    assert launch_of(said | meeting | alone) == Launch(job="job")


@pytest.mark.parametrize(
    ("wanted", "said", "processes", "threads"),
    [
        (0, "", 1, 8),
        (0, "1", 1, 1),  # somebody means it
        (0, "1", 2, 4),  # torchrun says so to each of several
        (0, "3", 2, 3),
        (0, "", 16, 1),
        (5, "1", 2, 5),
    ],
)
def test_processes_of_one_machine_share_its_cores(
    wanted: int, said: str, processes: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_module, "physical_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_module.choose_threads(wanted, processes) == threads


def test_rows_are_dealt_out_whole() -> None:
    rows = [row for rank in range(4) for row in Ranks(Launch(rank, 4)).rows(12)]
    assert rows == list(range(12))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"training.batch_size": 16},
            ["batch_size=16: does not divide over 3 ranks; use 15 or 18"],
        ),
        ({"training.batch_size": 2}, ["use 3, or start 2 of them"]),
        (
            {"training.batch_ramp.start": 4, "training.batch_ramp.steps": 9},
            ["batch_ramp.start=4: does not divide over 3 ranks; use 3 or 6"],
        ),
        ({"training.device": "mps"}, ["training.device=mps: is one device for one process"]),
        ({"training.device": "cuda:1"}, ["each rank takes one of its own; use cuda"]),
        (
            {"training.batch_size": 7, "training.device": "mps", "model.kind": "bigram_counts"},
            ["batch_size=7", "device=mps", "kind=bigram_counts: counts the text in one pass"],
        ),
    ],
)
def test_what_ranks_cannot_share_is_refused_at_once(
    settings: dict[str, Any], words: list[str]
) -> None:
    base = {"training.batch_size": 12, "training.device": "cpu"}
    config = resolve(preset="tiny", overrides={**base, **settings})
    with pytest.raises(ConfigError) as caught:
        refuse_unshareable(config, Ranks(Launch(0, 3, 0, 3)))
    assert all(word in str(caught.value) for word in words)
    assert len(caught.value.problems) == len(words)
    refuse_unshareable(config, Ranks(Launch()))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there are CUDA devices here")
def test_ranks_without_devices_are_refused() -> None:
    config = resolve(preset="tiny", overrides={"training.device": "cuda"})
    with pytest.raises(ConfigError, match="2 ranks were started on a machine with no CUDA"):
        refuse_unshareable(config, Ranks(Launch(0, 2, 0, 2)))
