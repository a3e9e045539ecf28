"""What the machine refuses is a message, not a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.__main__ import main


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_name_that_is_too_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, str(tmp_path / ("x" * 300))])
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert "too long" in printed
    assert "Traceback" not in printed


def test_a_file_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        main(["show", str(tmp_path / "file")])
    assert caught.value.code == 2
    assert "it is a file" in capsys.readouterr().err
