"""Text that comes in from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from hornbook.errors import TokenizerError


def read_text(file: Path | None) -> str:
    """The text of a file, or of standard input if there is none, exactly as it stands.

    Raises:
        TokenizerError: it cannot be read, or is not UTF-8; names the first wrong byte.
    """
    name = "standard input" if file is None else str(file)
    try:
        content = sys.stdin.buffer.read() if file is None else file.read_bytes()
        return content.decode("utf-8")
    except OSError as error:
        raise TokenizerError(f"{name} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{name} is not UTF-8 text: byte {error.start} is "
            f"0x{error.object[error.start]:02x} ({error.reason}). Convert it to UTF-8 first."
        ) from error
