"""How much memory there is: the machine's or the container's, whichever is less."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from hornbook.training import memory_there as room
from hornbook.training.memory_there import container_limit, memory_there, own_groups

GB = 10**9


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n", encoding="ascii")
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "5000", "memory.swap.max": "300"}, 5300),
        ({"memory.max": "5000", "memory.swap.max": "0"}, 5000),
        ({"memory.max": "5000", "memory.swap.max": "max"}, 5000 + 2048),
        ({"memory.max": "5000"}, 5000 + 2048),
        ({"memory.max": "max", "memory.swap.max": "0"}, None),
        ({"memory/memory.limit_in_bytes": "5000"}, 5000 + 2048),
        (
            {
                "memory/memory.limit_in_bytes": "5000",
                "memory/memory.memsw.limit_in_bytes": "5100",
            },
            5100,
        ),
        ({}, None),
    ],
)
def test_a_container_has_memory_and_swap(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    meminfo = written(tmp_path, {"meminfo": "SwapTotal: 2 kB"}) / "meminfo"
    assert container_limit(written(tmp_path / "groups", files), meminfo) == expected


def test_the_narrowest_of_all_groups_around_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"a/memory.max": "700", "a/b/memory.max": "max", "a/b/c/memory.max": "900"}
    groups = written(tmp_path / "groups", limits)
    said = written(tmp_path, {"cgroup": "4:cpu,memory:/x/y\n3:cpu:/z\n0::/a/b/c"}) / "cgroup"
    around = list(own_groups(groups, said))
    names = [str(group.relative_to(groups)) for group in around]
    assert names == ["a/b/c", "a/b", "a", ".", "memory/x/y", "memory/x", "memory"]
    assert list(own_groups(groups, tmp_path / "absent")) == [groups, groups / "memory"]
    monkeypatch.setattr(room, "own_groups", lambda folder: around)
    assert container_limit(groups, tmp_path / "no swap") == 700


def test_the_lesser_of_machine_and_container_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 16 * GB // 1000}
    monkeypatch.setattr(os, "sysconf_names", facts)
    monkeypatch.setattr(os, "sysconf", facts.__getitem__)
    monkeypatch.setattr(room, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(room, "CGROUPS", tmp_path / "groups")
    cpu = torch.device("cpu")
    assert memory_there(cpu) == 16 * GB
    written(tmp_path, {"meminfo": "SwapTotal: 1000000 kB"})
    assert memory_there(cpu) == 16 * GB + (1_000_000 << 10)
    written(tmp_path / "groups", {"memory.max": str(8 * GB), "memory.swap.max": "0"})
    assert memory_there(cpu) == 8 * GB
    monkeypatch.setattr(os, "sysconf_names", {})
    assert memory_there(cpu) == 8 * GB
    written(tmp_path / "groups", {"memory.max": "max"})
    assert memory_there(cpu) is None
