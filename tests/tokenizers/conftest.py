from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real texts and published vocabularies that may stand beside the project."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared with published vocabularies and corpora, which is absent here")
    return SHARED
