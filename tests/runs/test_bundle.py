"""A run is one self-contained folder: it moves, packs, verifies, and says what is damaged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.errors import ConfigError, CorpusError, RunError, TokenizerError
from hornbook.listener import Listener
from hornbook.runs.archive import pack_run, unpack_run
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.folder import fresh_run_path
from hornbook.runs.journal import Journal
from hornbook.runs.manifest import Manifest
from hornbook.runs.run import split_address
from hornbook.runs.verification import verify_run


class StopAt(Listener):
    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def weights(path: Path) -> bytes:
    return (list_checkpoints(path)[-1].folder / "model.safetensors").read_bytes()


@pytest.fixture
def copy(finished_run: hornbook.Run, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may damage."""
    return Path(shutil.copytree(finished_run.path, tmp_path / "copy"))


@pytest.fixture
def stopped(corpus: Path, fast_settings: dict[str, Any], tmp_path: Path) -> tuple[Path, Path]:
    """A run stopped at step 5, and the only copy of its corpus."""
    mine, run = tmp_path / "mine.txt", tmp_path / "run"
    shutil.copy(corpus, mine)
    with pytest.raises(hornbook.Interrupted):
        hornbook.train(mine, preset="tiny", out=run, overrides=fast_settings, listener=StopAt(5))
    return run, mine


def test_a_copied_run_samples_and_resumes_without_its_original(
    stopped: tuple[Path, Path], tmp_path: Path, finished_run: hornbook.Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, text = stopped
    elsewhere = Path(shutil.copytree(run, tmp_path / "elsewhere" / "moved"))
    saved = text.read_bytes()
    shutil.rmtree(run)
    text.unlink()
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "another machine"))
    assert str(hornbook.open_run(elsewhere).sample("The")).startswith("The")
    with pytest.raises(CorpusError, match="mine.txt"):
        hornbook.resume(elsewhere)
    text.write_bytes(saved)
    hornbook.resume(elsewhere)
    assert weights(elsewhere) == weights(finished_run.path)


def test_packed_with_its_data_it_resumes_without_the_corpus(
    stopped: tuple[Path, Path], tmp_path: Path, finished_run: hornbook.Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, text = stopped
    archive = pack_run(run, tmp_path / "run.zip", with_data=True)
    shutil.rmtree(run)
    text.unlink()
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "another machine"))
    monkeypatch.chdir(tmp_path)
    unpacked = unpack_run(archive)
    assert unpacked == Path("runs/run")
    assert "data" in verify_run(unpacked)
    hornbook.resume(unpacked)
    assert weights(unpacked) == weights(finished_run.path)
    # It keeps its data when it is packed again, and leaves it behind when not asked for.
    again = pack_run(unpacked, tmp_path / "again.zip", with_data=True)
    lean = pack_run(unpacked, tmp_path / "lean.zip")
    assert any("/data/" in name for name in zipfile.ZipFile(again).namelist())
    assert not any("/data/" in name for name in zipfile.ZipFile(lean).namelist())


def test_packing_is_deterministic_and_refuses_to_overwrite(copy: Path, tmp_path: Path) -> None:
    first = pack_run(copy, tmp_path / "a.zip").read_bytes()
    assert pack_run(copy, tmp_path / "b.zip").read_bytes() == first
    with pytest.raises(RunError, match="exists already"):
        pack_run(copy, tmp_path / "a.zip")
    unpack_run(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(RunError, match="exists already"):
        unpack_run(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(RunError, match="cannot be written"):
        pack_run(copy, tmp_path / "nowhere" / "a.zip")


@pytest.mark.parametrize(
    "member", ["../evil", "/etc/evil", "run/../../evil", "run/evil.py", "run/data/x"]
)
def test_an_archive_cannot_write_elsewhere(copy: Path, tmp_path: Path, member: str) -> None:
    archive = pack_run(copy, tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(member, "boo")
    with pytest.raises(RunError, match="no archive of a run"):
        unpack_run(archive, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out").exists()
    assert not list(tmp_path.rglob("evil*"))


def test_a_damaged_archive_leaves_nothing(copy: Path, tmp_path: Path) -> None:
    archive = pack_run(copy, tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    for damaged in (
        content[: len(content) // 2],
        b"no zip",
        content[:3000] + b"\0" * 64 + content[3064:],
    ):
        archive.write_bytes(damaged)
        with pytest.raises(RunError):
            unpack_run(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match="No such file"):
        unpack_run(tmp_path / "none.zip")


def test_verify_names_everything_that_is_damaged(copy: Path) -> None:
    assert verify_run(copy)[:2] == ["manifest.json and run.toml", "tokenizer.json"]
    for checkpoint in list_checkpoints(copy):
        file = checkpoint.folder / "optimizer.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text() + " ")
    metrics = copy / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + "half a li\n")
    toml = (copy / "run.toml").read_text()
    (copy / "run.toml").write_text(toml.replace("steps = 12", "steps = 13"))
    with pytest.raises(RunError) as caught:
        verify_run(copy)
    message = str(caught.value)
    for part in (
        "optimizer.safetensors",
        "tokenizer.json",
        "metrics.jsonl",
        "training.steps from 12 to 13",
    ):
        assert part in message


def test_state_is_checked_too(copy: Path) -> None:
    state = list_checkpoints(copy)[-1].folder / "state.json"
    state.write_text(state.read_text().replace('"step": 12', '"step": 11'))
    with pytest.raises(RunError, match=r"state\.json is damaged"):
        verify_run(copy)


def test_parts_that_are_missing_are_named(copy: Path) -> None:
    newest = list_checkpoints(copy)[-1].folder
    (newest / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors is missing"):
        verify_run(copy)
    with pytest.raises(RunError, match=r"model\.safetensors is missing"):
        _ = hornbook.open_run(f"{copy}@latest").model
    (copy / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        _ = hornbook.open_run(copy).tokenizer
    (copy / "manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        hornbook.open_run(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(RunError, match="not a run"):
        hornbook.open_run(copy)


def test_a_run_of_a_newer_version_says_so(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["schema_version"] = 99
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="newer hornbook"):
        hornbook.open_run(copy)


def test_no_run_names_the_runs_nearby(finished_run: hornbook.Run) -> None:
    with pytest.raises(RunError, match="finished"):
        hornbook.open_run(finished_run.path.parent / "finnished")
    with pytest.raises(RunError, match="no such folder"):
        hornbook.open_run("nowhere at all")


def test_addresses(finished_run: hornbook.Run, tmp_path: Path) -> None:
    assert split_address("a/b@12") == (Path("a/b"), "12")
    assert split_address("a/b@best") == (Path("a/b"), "best")
    (tmp_path / "me@home").mkdir()
    assert split_address(str(tmp_path / "me@home")) == (tmp_path / "me@home", None)
    with pytest.raises(ConfigError, match="after @"):
        split_address("a/b@newest")
    with pytest.raises(RunError, match="there are 8, 12"):
        _ = hornbook.open_run(f"{finished_run.path}@10").checkpoint


def test_sampling_settings_are_checked(finished_run: hornbook.Run) -> None:
    with pytest.raises(ConfigError, match=r"sampling\.temprature.*temperature"):
        finished_run.sample("x", temprature=2)
    with pytest.raises(ConfigError, match="top_p"):
        finished_run.sample("x", top_p=1.5)
    with pytest.raises(ConfigError, match="stop text must not be empty"):
        finished_run.sample("x", stop="")
    texts = [sample.text for sample in finished_run.samples("The", samples=3, seed=5)]
    assert len(texts) == 3
    assert texts[0] == finished_run.sample("The", seed=5).text
    assert "".join(p.text for p in finished_run.stream("The", seed=5)) == texts[0]


def test_the_manifest_holds_what_its_table_promises(finished_run: hornbook.Run) -> None:
    manifest: Any = json.loads((finished_run.path / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    assert set(manifest["fingerprints"]) == {"corpus", "split", "tokenizer", "tokens"}
    assert manifest["fingerprints"]["tokenizer"] == finished_run.tokenizer.fingerprint
    session = manifest["sessions"][0]
    assert {"hornbook", "python", "torch"} <= set(session["software"])
    assert {"processor", "threads", "device"} <= set(session["hardware"])
    assert manifest["split"]["training"]["characters"] > 0
    assert Manifest.read(finished_run.path).preset == "tiny"


def test_a_journal_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "m.jsonl")
    journal.sync()
    for step in (2, 4, 6):
        journal.append({"step": step, "text": "né\n"})
    with open(journal.path, "ab") as file:
        file.write(b'{"step": 8, "te')
    assert [entry["step"] for entry in journal.entries()] == [2, 4, 6]
    journal.cut_back(4)
    assert [entry["step"] for entry in journal.entries()] == [2, 4]
    assert journal.path.read_bytes().count(b"\n") == 2


def test_fresh_names_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fresh_run_path("../x/Akjv.txt", "small") == Path("runs/akjv-small")
    (tmp_path / "runs" / "akjv-small").mkdir(parents=True)
    assert fresh_run_path("akjv", "small") == Path("runs/akjv-small-2")
    assert fresh_run_path("https://a.b/詩.txt", None) == Path("runs/run")
