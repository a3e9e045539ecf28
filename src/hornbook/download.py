"""Fetch one file over HTTP so that it is whole or absent, and continue where a cut left off.

What arrives is kept beside the target as ``NAME.part``, with the server's mark of the
version (``ETag`` or ``Last-Modified``) in ``NAME.part.json``. The next attempt asks only
for the missing bytes, and only if the version is still the same; in every other case it
starts again from nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hornbook.durable import file_checksum, sync_file, sync_folder, write_durably
from hornbook.errors import HornbookError
from hornbook.listener import SILENT, Listener, Progress

ATTEMPTS = 4
PATIENCE = 1.0
"""How long to wait before the second attempt, doubled before each further one [seconds]."""

_TIMEOUT = 30.0
_BLOCK = 256 * 1024

_NETWORK = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One download: from where, to where, and what is known of the bytes."""

    address: str
    target: Path
    sha256: str | None
    error: type[HornbookError]

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def mark(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part.json")

    def by_hand(self) -> str:
        return f"You can also fetch it by hand: put the file at {self.target}"

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)


class _TryAgain(Exception):  # noqa: N818 - no error: it never leaves this file
    """This attempt failed in a way that another one may mend."""


def download(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    error: type[HornbookError] = HornbookError,
    listener: Listener = SILENT,
    wait: Callable[[float], Any] = time.sleep,
) -> None:
    """Fetch ``address`` to ``target``, which appears only when it is complete and verified.

    Args:
        sha256: the checksum that the file must have, where one is known.
        error: what to raise: the kind of mistake that the room of the caller reports.
        wait: called with the seconds to pause before another attempt.

    Raises:
        HornbookError: or ``error``, when the address has no such file, cannot be reached,
            keeps breaking off, or sends bytes with another checksum; says where to put the
            file by hand.
    """
    wanted = _Wanted(address, target, sha256, error)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(ATTEMPTS):
            try:
                _attempt(wanted, listener)
                break
            except _TryAgain as reason:
                if attempt == ATTEMPTS - 1:
                    raise _given_up(wanted, reason) from reason.__cause__
                wait(PATIENCE * 2**attempt)
        _verify_and_place(wanted)
    except OSError as refusal:  # network errors are caught closer to the network
        raise error(
            f"{address}: cannot be written to {target.parent}: {refusal.strerror or refusal}. "
            "Free some space, or name another folder with the variable HORNBOOK_CACHE."
        ) from refusal


def _attempt(wanted: _Wanted, listener: Listener) -> None:
    """Bring ``NAME.part`` to its full length, or raise ``_TryAgain``."""
    have, version = _kept(wanted)
    with _request(wanted, have, version) as response:
        headers = response.headers
        total = _total_bytes(response.status, headers)
        if not _continues(wanted, response.status, headers, have, version):
            have = 0
            version = _version(wanted.address, headers)
            wanted.forget()
            if version is not None:
                write_durably(wanted.mark, json.dumps(version).encode())
        title = f"fetching {wanted.target.name}"
        with (
            listener.progress(title, total=total, unit="bytes") as progress,
            open(wanted.part, "ab") as file,
        ):
            progress.advance(have)
            have += _copy(response, file, progress)
    if total is not None and have < total:
        raise _TryAgain(f"the connection ended after {have} of {total} bytes")
    if total is not None and have > total:
        wanted.forget()
        raise _TryAgain(f"{have} bytes came, but {total} were announced")


def _kept(wanted: _Wanted) -> tuple[int, dict[str, str] | None]:
    """Return how many bytes an earlier attempt left, and of which version they are."""
    try:
        version = json.loads(wanted.mark.read_bytes())
        have = wanted.part.stat().st_size
    except (OSError, ValueError):
        return 0, None
    if have and isinstance(version, dict) and version.get("address") == wanted.address:
        return have, version
    return 0, None


def _request(wanted: _Wanted, have: int, version: Mapping[str, str] | None) -> Any:
    """Send the request; failures that another attempt cannot mend are final."""
    request = urllib.request.Request(wanted.address, headers={"User-Agent": "hornbook"})
    if have and version is not None:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version["value"])
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # what is kept is no beginning of what the server has now
            wanted.forget()
            raise _TryAgain("the server refused to continue") from error
        if error.code == 429 or error.code >= 500:
            raise _TryAgain(f"the server answered {error.code} {error.reason}") from error
        raise wanted.error(
            f"{wanted.address}: the server answered {error.code} {error.reason}. {wanted.by_hand()}"
        ) from error
    except urllib.error.URLError as error:
        raise wanted.error(
            f"{wanted.address}: cannot be reached ({error.reason}). Is there a network? "
            f"{wanted.by_hand()}"
        ) from error
    except _NETWORK as error:
        raise _TryAgain(str(error) or type(error).__name__) from error


def _continues(
    wanted: _Wanted, status: int, headers: Mapping[str, str], have: int, version: Any
) -> bool:
    """Say whether this answer is the missing rest of what is kept, or the whole file anew.

    A rest of another version, or from another place, is of no use: it starts all over.
    """
    if status != 206:
        return False
    named = headers.get(version["header"])
    place = re.match(r"bytes (\d+)-", headers.get("Content-Range") or "")
    if (named is not None and named != version["value"]) or not place or int(place[1]) != have:
        wanted.forget()
        raise _TryAgain("the file changed on the server")
    return True


def _version(address: str, headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the header that tells this version of the file from any other, if there is one.

    A weak ETag stands for equal meaning, not for equal bytes, so it does not count.
    """
    for header in ("ETag", "Last-Modified"):
        value = headers.get(header)
        if value and not value.startswith("W/"):
            return {"address": address, "header": header, "value": value}
    return None


def _total_bytes(status: int, headers: Mapping[str, str]) -> int | None:
    """Return the length of the whole file, where the server says it.

    >>> _total_bytes(206, {"Content-Range": "bytes 5-9/10", "Content-Length": "5"})
    10
    """
    if status == 206:
        found = re.search(r"/(\d+)$", headers.get("Content-Range") or "")
        return int(found[1]) if found else None
    length = headers.get("Content-Length") or ""
    return int(length) if length.isdigit() else None


def _copy(response: Any, file: Any, progress: Progress) -> int:
    """Append what comes to ``file``; what came before a cut is kept. Returns the byte count."""
    copied = 0
    while True:
        try:
            block = response.read(_BLOCK)
        except http.client.IncompleteRead as error:
            file.write(error.partial)
            raise _TryAgain("the connection was cut") from error
        except _NETWORK as error:
            raise _TryAgain(str(error) or type(error).__name__) from error
        if not block:
            return copied
        file.write(block)
        copied += len(block)
        progress.advance(len(block))


def _verify_and_place(wanted: _Wanted) -> None:
    """Give the complete file its name, unless its checksum is wrong."""
    if wanted.sha256 is not None:
        found = file_checksum(wanted.part)
        if found != wanted.sha256:
            wanted.forget()
            raise wanted.error(
                f"{wanted.address}: what came has the SHA-256 {found}, not {wanted.sha256}: the "
                "file was changed, or something on the way replaced it; it was thrown away. "
                f"{wanted.by_hand()}"
            )
    sync_file(wanted.part)
    os.replace(wanted.part, wanted.target)
    wanted.mark.unlink(missing_ok=True)
    sync_folder(wanted.target.parent)


def _given_up(wanted: _Wanted, reason: _TryAgain) -> HornbookError:
    kept = "What came is kept; run the same command again to continue. " if _kept(wanted)[0] else ""
    return wanted.error(
        f"{wanted.address}: the download failed {ATTEMPTS} times, at last because: {reason}. "
        f"{kept}{wanted.by_hand()}"
    )
