"""What many tests share: a cache of their own, a small corpus, and one finished tiny run."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import hornbook

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

SHARED = Path(__file__).resolve().parents[2] / "shared"

FAST: dict[str, Any] = {
    "seed": 3,
    "context_length": 16,
    "tokenizer.vocab_size": 300,
    "model.d_model": 16,
    "model.layers": 1,
    "training.steps": 12,
    "training.batch_size": 4,
    "training.log_every": 2,
    "training.evaluate_every": 4,
    "training.checkpoint_every": 4,
    "training.sample_every": 6,
    "training.schedule.warmup_steps": 2,
    "training.device": "cpu",
    "training.precision": "float32",
    "sampling.max_tokens": 8,
}
"""Settings, over the preset tiny, that train in a fraction of a second."""


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep every test out of the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HORNBOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def text() -> str:
    """Twelve thousand characters of made-up sentences, always the same."""
    words = "the a small old bright river stone bird sings falls under over and then slowly".split()
    draw = random.Random(7)
    sentences = [" ".join(draw.choices(words, k=draw.randint(4, 9))) for _ in range(330)]
    return "".join(s.capitalize() + (".\n" if i % 3 else ".\n\n") for i, s in enumerate(sentences))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """``text`` in a file."""
    path = tmp_path_factory.mktemp("corpus") / "sentences.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def fast_settings() -> dict[str, Any]:
    """The settings that ``train_fast`` lays over the preset tiny."""
    return dict(FAST)


@pytest.fixture(scope="session")
def train_fast(corpus: Path) -> Callable[..., hornbook.Run]:
    """Train a tiny run: ``train_fast(folder, **{"training.steps": 4})``."""

    def run(out: Path, listener: Any = None, **changes: Any) -> hornbook.Run:
        more = {"listener": listener} if listener is not None else {}
        return hornbook.train(corpus, preset="tiny", out=out, overrides={**FAST, **changes}, **more)

    return run


@pytest.fixture(scope="session")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory, train_fast: Callable[..., hornbook.Run]
) -> hornbook.Run:
    """A finished run that no test may change."""
    return train_fast(tmp_path_factory.mktemp("runs") / "finished")
