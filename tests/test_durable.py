"""Files and folders that are whole or absent."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hornbook import durable
from hornbook.durable import durable_folder, file_checksum, remove_unfinished, write_durably


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_durably(path, b"old")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_durably(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    with durable_folder(target) as aside:
        (aside / "inner").mkdir()
        (aside / "inner" / "file").write_text("x")
        assert not target.exists()
    assert (target / "inner" / "file").read_text() == "x"
    assert names(target.parent) == ["folder"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_folder_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "folder"
    with durable_folder(target) as aside:
        (aside / "file").write_text("old")
    with pytest.raises(error), durable_folder(target) as aside:
        (aside / "file").write_text("new")
        raise error
    assert (target / "file").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_a_folder_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for text in ("old", "new"):
        with durable_folder(target) as aside:
            (aside / text).write_text(text)
    assert names(target) == ["new"]
    assert names(tmp_path) == ["folder"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / f"{durable.ASIDE}file").write_text("half")
    (tmp_path / f"{durable.ASIDE}folder").mkdir()
    (tmp_path / f"{durable.ASIDE}folder" / "x").write_text("half")
    (tmp_path / "kept").write_text("whole")
    remove_unfinished(tmp_path)
    assert names(tmp_path) == ["kept"]
    remove_unfinished(tmp_path / "nowhere")


def test_what_is_being_written_is_spared(tmp_path: Path) -> None:
    for name in ("old", "busy"):
        (tmp_path / f"{durable.ASIDE}{name}").mkdir()
        (tmp_path / f"{durable.ASIDE}{name}" / "x").write_text("half")
    long_ago = time.time() - 1000
    for path in (tmp_path / f"{durable.ASIDE}old" / "x", tmp_path / f"{durable.ASIDE}old"):
        os.utime(path, (long_ago, long_ago))
    os.utime(tmp_path / f"{durable.ASIDE}busy", (long_ago, long_ago))
    remove_unfinished(tmp_path, idle_seconds=500)
    assert names(tmp_path) == [f"{durable.ASIDE}busy"]


def test_checksums_are_sha_256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_checksum(tmp_path / "a").startswith("ba7816bf8f01cfea")
