"""Compiled kernels are kept, found again, and never taken for what they are not.

A small module in a folder of its own stands for the engine, for it compiles in a tenth of a
second. Each step runs in a process of its own, as it does for a person.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.kernel_folder import kernel_folder

TOY = """
from hornbook.kernels import inlined, kernel
from factor import FACTOR

@inlined
def times(number):
    return number * FACTOR

@kernel
def total(count):
    sum = 0
    for number in range(count):
        sum += times(number)
    return sum
"""
RUN = """
import toy
from hornbook.kernels import compiling
from hornbook.listener import Listener

class Telling(Listener):
    def notice(self, text):
        print("told", text)

with compiling("toys", 1, Telling()):
    print("total", toy.total(5))
"""


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    """A folder with one kernel, which uses a fact of another file."""
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "toy.py").write_text(TOY)
    (tmp_path / "toys" / "factor.py").write_text("FACTOR = 2\n")
    return tmp_path / "toys"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def python(code: str, cache: Path, *path: Path) -> list[str]:
    """What a new process writes, line by line."""
    environment = {**os.environ, "HORNBOOK_CACHE": str(cache)}
    environment["PYTHONPATH"] = os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])
    # Python takes a module's bytecode for that of a file written in the same second, as toys are.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def compiled(cache: Path, toys: Path) -> bool:
    """Run the toy, and say whether it had to be compiled."""
    lines = python(RUN, cache, toys)
    told = [line for line in lines if line.startswith("told")]
    assert lines[-1 - len(told)] == "total 20"
    if told:
        assert told[0].startswith("told toys: 1 of 1 kernels compiled in ")
        assert told[0].endswith("once for this machine")
    return bool(told)


def test_compiled_once(cache: Path, toys: Path) -> None:
    assert compiled(cache, toys)
    (folder,) = (cache / "kernels").iterdir()
    assert folder.name.startswith("toys-")
    assert {path.suffix for path in folder.iterdir()} == {".nbi", ".nbc"}
    assert not compiled(cache, toys)


@pytest.mark.parametrize(
    ("suffix", "content"), [("nbi", b""), ("nbi", None), ("nbc", b"no pickle"), ("nbc", None)]
)
def test_a_damaged_file_is_made_anew(
    cache: Path, toys: Path, suffix: str, content: bytes | None
) -> None:
    assert compiled(cache, toys)
    for path in cache.glob(f"kernels/*/*.{suffix}"):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert compiled(cache, toys)
    assert not compiled(cache, toys)


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path: Path, toys: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("in place of the folder")
    for _ in range(2):
        lines = python(RUN, blocked, toys)
        assert lines[0] == "total 20"
        assert "and not kept: " in lines[1]
    assert blocked.read_text() == "in place of the folder"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(cache: Path, toys: Path, mode: int) -> None:
    assert compiled(cache, toys)
    (folder,) = (cache / "kernels").iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    folder.chmod(mode)
    lines = python(RUN, cache, toys)
    assert lines[0] == "total 20"
    assert "may be written to by others" in lines[1]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    folder.chmod(0o700)
    assert not compiled(cache, toys)


def test_a_change_in_any_file_beside_it_is_another_folder(cache: Path, toys: Path) -> None:
    """Numba looks at a kernel's own file only; what it calls may stand in another one."""
    assert compiled(cache, toys)
    (toys / "factor.py").write_text("FACTOR = 3\n")
    lines = python(RUN, cache, toys)
    assert lines[0] == "total 30"
    assert len(list((cache / "kernels").iterdir())) == 2
    (toys / "factor.py").write_text("FACTOR = 2\n")
    assert not compiled(cache, toys)


def test_the_folder_is_known_without_a_compiler(toys: Path) -> None:
    before = kernel_folder(toys)
    assert before == kernel_folder(toys)
    kernel_folder.cache_clear()
    (toys / "another.py").write_text("")
    after = kernel_folder(toys)
    assert after != before
    kernel_folder.cache_clear()
    (toys / "another.py").rename(toys / "renamed.py")
    assert kernel_folder(toys) not in (before, after)


def test_what_nothing_uses_any_more_is_deleted(cache: Path, toys: Path) -> None:
    old = cache / "kernels" / "toys-of-last-year"
    old.mkdir(parents=True)
    for name in ("toy.nbi", "toy.nbc"):
        (old / name).write_bytes(b"old")
        os.utime(old / name, (0, 0))
    assert compiled(cache, toys)
    assert list(old.iterdir()) == []
    assert not compiled(cache, toys)


def test_small_texts_import_no_compiler(cache: Path) -> None:
    code = """
import sys
from hornbook.tokenizers import BPETokenizer
tokenizer = BPETokenizer.train(["the theory of the thing"] * 9, 270)
ids = tokenizer.encode("the thing " * 40)
assert tokenizer.decode(ids) == "the thing " * 40
assert tokenizer.encode_batch(["the", "thing"]) and tokenizer.count("the") == 1
print("numba" in sys.modules, "torch" in sys.modules)
"""
    assert python(code, cache) == ["False False"]
    assert not cache.exists()


def test_help_imports_no_compiler(cache: Path) -> None:
    code = """
import sys
sys.argv = ["hornbook", "--help"]
from hornbook.__main__ import main
try:
    main()
except SystemExit:
    pass
print("numba" in sys.modules, "torch" in sys.modules)
"""
    assert python(code, cache)[-1] == "False False"
