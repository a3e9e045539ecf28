"""A run as one file: pack it here, unpack it anywhere.

The archive is a plain zip of the run's folder under the run's name. With its data inside, it
goes on training on a machine that never saw the corpus. Only the files of a run are taken
out of an archive, only below the new folder, and the result is verified before it gets its name.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import IO

from hornbook.durable import ASIDE, durable_folder, sync_file, sync_folder
from hornbook.errors import RunError
from hornbook.listener import SILENT, Listener, Progress
from hornbook.runs.assembly import find_store
from hornbook.runs.folder import RunFolder, open_folder
from hornbook.runs.lock import run_lock
from hornbook.runs.verification import verify_run

_MEMBER = re.compile(
    r"(run\.toml|manifest\.json|tokenizer\.json|metrics\.jsonl|samples\.jsonl|notes\.jsonl"
    r"|report\.html"
    r"|checkpoints/step-\d{8,}/((model|optimizer|carried)\.safetensors|state\.json)"
    r"|data/(store\.json|(training|validation)(-\d{5}\.tokens|\.documents)))"
)
"""The files that a run consists of, relative to its folder; nothing else is ever unpacked."""
_PIECE = 1 << 20


def pack_run(
    path: Path | str, out: Path | str, *, with_data: bool = False, listener: Listener = SILENT
) -> Path:
    """Write the run at ``path`` into the archive ``out``; returns ``out``.

    Args:
        path: the run's folder.
        out: the file to write; refused where it exists.
        with_data: put the tokens in as well, so that it can be resumed without the corpus.
        listener: who watches.

    Raises:
        RunError: when ``out`` exists or cannot be written, or the run is in use.
        CorpusError: when the data is wanted but neither corpus nor cached tokens are there.
    """
    folder, out = open_folder(path), Path(out)
    if out.exists():
        raise RunError(f"{out} exists already; name another file with --out.")
    with run_lock(folder.path):
        files = {name: file for name, file in _run_files(folder) if _MEMBER.fullmatch(name)}
        if with_data and not folder.data.is_dir():
            manifest = folder.read_manifest()
            _, store = find_store(folder, folder.read_config(), manifest, listener=listener)
            files.update({f"data/{file.name}": file for file in store.files()})
        if not with_data:
            files = {name: file for name, file in files.items() if not name.startswith("data/")}
        name = folder.path.resolve().name
        aside = out.with_name(f"{ASIDE}{out.name}")
        try:
            _write_archive(aside, name, files, listener)
            os.replace(aside, out)
            sync_folder(out.parent)
        except OSError as error:
            raise RunError(f"{out} cannot be written: {error.strerror or error}.") from error
        finally:
            aside.unlink(missing_ok=True)
    return out


def unpack_run(
    archive: Path | str, out: Path | str | None = None, *, listener: Listener = SILENT
) -> Path:
    """Make a run's folder out of an archive and verify it; returns the folder.

    Args:
        archive: a file that ``pack_run`` wrote.
        out: the folder to make; ``runs/NAME`` unless given. Refused where it exists.
        listener: who watches.

    Raises:
        RunError: when the file is no such archive, is damaged, or the folder exists.
    """
    archive = Path(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            name, members = _members(archive, opened)
            target = Path(out) if out is not None else Path("runs") / name
            if target.exists():
                raise RunError(f"{target} exists already; name another folder with --out.")
            with durable_folder(target) as aside:
                _extract(opened, members, aside, listener)
                verify_run(aside, listener=listener)
            return target
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise RunError(f"{archive} is damaged or no archive of a run: {error}.") from error
    except OSError as error:
        raise RunError(f"{archive} cannot be unpacked: {error.strerror or error}.") from error


def _run_files(folder: RunFolder) -> list[tuple[str, Path]]:
    files = [file for file in sorted(folder.path.rglob("*")) if file.is_file()]
    return [(file.relative_to(folder.path).as_posix(), file) for file in files]


def _write_archive(path: Path, name: str, files: dict[str, Path], listener: Listener) -> None:
    total = sum(file.stat().st_size for file in files.values())
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened,
        listener.progress("packing", total=total, unit="B") as progress,
    ):
        for member, file in files.items():
            # A fixed date: the same run packs to the same bytes.
            entry = zipfile.ZipInfo(f"{name}/{member}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with open(file, "rb") as source, opened.open(entry, "w", force_zip64=True) as sink:
                _copy(source, sink, progress)
    sync_file(path)


def _members(archive: Path, opened: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The run's name and its files; refuses an archive with anything else in it."""
    members: dict[str, zipfile.ZipInfo] = {}
    names = set()
    for entry in opened.infolist():
        name, _, member = entry.filename.partition("/")
        names.add(name)
        if not _MEMBER.fullmatch(member) or entry.is_dir():
            raise RunError(f"{archive} is no archive of a run: it holds {entry.filename!r}.")
        members[member] = entry
    if len(names) != 1 or not {"run.toml", "manifest.json"} <= set(members):
        raise RunError(f"{archive} is no archive of a run: it holds no single run.")
    name = names.pop()
    if name in {"", ".", ".."} or re.search(r"[\\:\0]", name):
        raise RunError(f"{archive} names its run {name!r}, which cannot be a folder's name.")
    return name, members


def _extract(
    opened: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    folder: Path,
    listener: Listener,
) -> None:
    total = sum(entry.file_size for entry in members.values())
    free = shutil.disk_usage(folder).free
    if total > free:
        raise RunError(f"The run needs {total:,} bytes, but the disk has {free:,} left.")
    with listener.progress("unpacking", total=total, unit="B") as progress:
        for member, entry in members.items():
            target = folder / member
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(entry) as source, open(target, "wb") as sink:
                _copy(source, sink, progress)


def _copy(source: IO[bytes], sink: IO[bytes], progress: Progress) -> None:
    while piece := source.read(_PIECE):
        sink.write(piece)
        progress.advance(len(piece))
