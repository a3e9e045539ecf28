"""A room imports only rooms on floors below its own, and every public name is meant."""

from __future__ import annotations

import ast
from pathlib import Path

import hornbook

SOURCE = Path(hornbook.__file__).parent
FLOORS: dict[str, int] = {
    # the ground floor: what every room may use
    "errors": -1,
    "settings": -1,
    "listener": -1,
    "randomness": -1,
    "durable": -1,
    "cache": -1,
    "compiled_call": -1,
    "download": -1,
    "targets": -1,
    "kernel_folder": -1,
    "kernels": -1,
    "launch": -1,
    "processor": -1,
    "corpora": 0,
    "tokenizers": 0,
    "data": 1,
    "models": 1,
    "optimization": 1,
    "generation": 2,
    "runs": 3,
    "inspection": 4,
    "training": 5,
    "experiments": 6,
    "interop": 6,
    "serving": 6,
    "cli": 7,
    "studio": 7,
}
ENTRANCES = {"__init__", "__main__"}
"""The package's own front doors may name any room; no room may import them."""


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Every hornbook module that a file imports, at its top or inside a function."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the flow"
            found.append((node.lineno, node.module or ""))
            if node.module == "hornbook":
                found += [(node.lineno, f"hornbook.{alias.name}") for alias in node.names]
    return [(line, name) for line, name in found if name.split(".")[0] == "hornbook"]


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in SOURCE.rglob("*.py")} - ENTRANCES
    assert rooms <= set(FLOORS)
    assert len(rooms) >= 15


def test_imports_point_downwards_only() -> None:
    upwards = []
    for path in sorted(SOURCE.rglob("*.py")):
        room = room_of(path)
        if room in ENTRANCES:
            continue
        for line, name in imports_of(path):
            target = name.split(".")[1] if "." in name else "__init__"
            if target == room:
                continue
            below = target in FLOORS and FLOORS[target] < FLOORS[room]
            ground = FLOORS.get(target, 9) == FLOORS[room] == -1
            if not (below or ground):
                upwards.append(f"{path.relative_to(SOURCE)}:{line} imports {name}")
    assert not upwards, "\n".join(upwards)


def test_there_are_no_circles_between_files() -> None:
    names = {
        ".".join(["hornbook", *path.relative_to(SOURCE).with_suffix("").parts]): path
        for path in SOURCE.rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"}
    }
    needs = {
        name: {target for _, target in imports_of(path) if target in names}
        for name, path in names.items()
    }
    done: set[str] = set()
    while len(done) < len(needs):
        ready = {name for name, targets in needs.items() if targets <= done} - done
        assert ready, f"these import each other: {sorted(set(needs) - done)}"
        done |= ready


def test_public_names_are_frozen() -> None:
    assert hornbook.__all__ == [
        "ConfigError",
        "CorpusError",
        "DataError",
        "GenerationError",
        "HornbookError",
        "Interrupted",
        "Run",
        "RunConfig",
        "RunError",
        "Tokenizer",
        "TokenizerError",
        "TrainingStopped",
        "fork",
        "open_run",
        "resume",
        "train",
    ]
    for name in hornbook.__all__:
        assert getattr(hornbook, name).__name__ == name
    assert set(hornbook.__all__) <= set(dir(hornbook))


def test_errors_are_one_tree() -> None:
    errors = [
        getattr(hornbook, name)
        for name in hornbook.__all__
        if name.endswith("Error") or name in {"Interrupted", "TrainingStopped"}
    ]
    assert len(errors) == 9
    assert all(issubclass(error, hornbook.HornbookError) for error in errors)


def test_no_code_can_come_out_of_a_file() -> None:
    """No pickle, no eval, no torch.load: opening a stranger's run runs nothing."""
    forbidden = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                if {"pickle", "shelve", "marshal", "dill", "joblib"} & set(names):
                    forbidden.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in {"eval", "exec", "torch.load", "np.load", "numpy.load"}:
                    forbidden.append(f"{path}:{node.lineno} {called}")
    assert not forbidden
