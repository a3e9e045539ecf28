"""What the user named, found: names, files, folders, globs and addresses become ``Source``s.

The order is the user's own; inside a folder or a glob it is the order of the paths.
"""

from __future__ import annotations

import difflib
import glob
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hornbook.corpora.named import NAMED_CORPORA, PYTHON_DOCS, fetch
from hornbook.corpora.separation import DocumentRule
from hornbook.corpora.standard_input import spool
from hornbook.corpora.streams import COMPRESSED, is_address, local_size, unreadable
from hornbook.errors import CorpusError
from hornbook.listener import Listener

STANDARD_INPUT = "-"

TEXT_SUFFIXES = (".txt", ".md", ".text")
ROW_SUFFIXES = (".jsonl", ".parquet")
FOLDER_SUFFIXES = TEXT_SUFFIXES + ROW_SUFFIXES
"""What is read from a folder, each also with ``.gz`` or ``.zst`` after it."""

Kind = Literal["text", "jsonl", "parquet", "python-docs"]


@dataclass(frozen=True, slots=True)
class Source:
    """One file, address or built-in text.

    Attributes:
        location: the path or the address to read.
        name: what documents say they come from: a corpus name or the location.
        kind: how documents are found in it.
        size: its bytes as stored; ``None`` where that is not known.
        separate_by: the rule of a named corpus; ``None`` for anything else.
    """

    location: str
    name: str
    kind: Kind
    size: int | None
    separate_by: DocumentRule | None = None


def find_sources(
    files: Sequence[str], listener: Listener
) -> tuple[tuple[str, ...], tuple[Source, ...]]:
    """Find everything that ``files`` names, fetching named corpora that are not cached yet.

    Returns:
        ``files`` in a form that means the same from any folder at any later time, and the
        sources in reading order. A file that is named twice is read once.

    Raises:
        CorpusError: for a name that leads nowhere, a folder or glob without text.
    """
    lasting: list[str] = []
    found: dict[str, Source] = {}
    for entry in files:
        entry = _lasting_form(entry, listener)
        if entry not in lasting:
            lasting.append(entry)
        for source in _sources_of(entry, listener):
            if source.location in found:
                listener.notice(f"{source.location} is named twice; it is read once")
            found.setdefault(source.location, source)
    return tuple(lasting), tuple(found.values())


def _lasting_form(entry: str, listener: Listener) -> str:
    """Make a path absolute and keep what can be read only once; names stay names."""
    if not entry:
        raise CorpusError(
            "corpus.files holds an empty name; give a file, a folder, an address, "
            f"- for standard input, or one of: {', '.join(NAMED_CORPORA)}"
        )
    if entry == STANDARD_INPUT:
        return str(spool(sys.stdin.buffer, "standard input", listener=listener))
    if entry in NAMED_CORPORA or is_address(entry):
        return entry
    path = os.path.normpath(Path(entry).expanduser().absolute())
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return path
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return path
    try:  # a pipe or a device, such as <(command) in a shell
        with open(path, "rb") as stream:
            return str(spool(stream, entry, listener=listener))
    except OSError as error:
        raise unreadable(entry, error) from error


def _sources_of(entry: str, listener: Listener) -> Iterable[Source]:
    if entry in NAMED_CORPORA:
        return [_named_source(entry, listener)]
    if is_address(entry):
        return _address_sources(entry)
    path = Path(entry)
    if path.is_dir():
        return _folder_sources(path)
    if path.exists():
        return [_file_source(entry)]
    if glob.has_magic(entry):
        return _glob_sources(entry)
    raise CorpusError(f"{entry}: no such file, folder or named corpus.{_suggestion(path)}")


def _named_source(name: str, listener: Listener) -> Source:
    corpus = NAMED_CORPORA[name]
    if name == PYTHON_DOCS:
        return Source(name, name, "python-docs", corpus.bytes, corpus.separate_by)
    path = str(fetch(corpus, listener=listener))
    return Source(path, name, "text", local_size(path), corpus.separate_by)


def _file_source(location: str) -> Source:
    return Source(location, location, _kind(location), local_size(location))


def _kind(location: str) -> Kind:
    """Tell by its name how a file is read; whatever is not known is text.

    >>> _kind("poems.jsonl.gz"), _kind("notes.tex")
    ('jsonl', 'text')
    """
    bare = _without_compression(location)
    if bare.endswith(".jsonl"):
        return "jsonl"
    return "parquet" if bare.endswith(".parquet") else "text"


def _without_compression(location: str) -> str:
    for suffix in COMPRESSED:
        location = location.removesuffix(suffix)
    return location


def _read_from_folders(name: str) -> bool:
    return _without_compression(name).endswith(FOLDER_SUFFIXES)


def _folder_sources(folder: Path) -> list[Source]:
    """Find the text files below a folder; names that begin with a dot are passed over."""
    found = sorted(_below(folder), key=lambda path: path.relative_to(folder).parts)
    if not found:
        raise CorpusError(
            f"{folder}: a folder without text. Files ending in {', '.join(FOLDER_SUFFIXES)} "
            f"(also with {' or '.join(COMPRESSED)} after that) are read from a folder; any other "
            "file is read as text when it is named itself or by a glob such as "
            f"{folder / '**' / '*.py'}"
        )
    return [_file_source(str(path)) for path in found]


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and _read_from_folders(name) and path.is_file():
                yield path


def _glob_sources(pattern: str) -> list[Source]:
    """Find the files of a pattern, whatever their suffix; a folder it meets is passed over."""
    matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - the pattern is absolute
    found = sorted(match for match in matches if Path(match).is_file())
    if not found:
        raise CorpusError(
            f"{pattern}: no file matches. * stands for anything inside one name, ** for any "
            "folders in between; quote the pattern so that the shell leaves it alone."
        )
    return [_file_source(match) for match in found]


def _address_sources(address: str) -> list[Source]:
    """Find what an address stands for: a file, or a folder or glob of a store that has them."""
    if address.startswith(("http://", "https://")):
        return [Source(address, address, _kind(address.split("?")[0]), None)]
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(address)
        paths = _paths_at(system, path)
        found = [(str(system.unstrip_protocol(each)), system.size(each)) for each in paths]
    except Exception as error:  # a remote file system may raise anything
        raise unreadable(address, error) from error
    if not found:
        raise CorpusError(f"{address}: no text is found there. Is the address spelled right?")
    return [Source(each, each, _kind(each), size) for each, size in found]


def _paths_at(system: Any, path: str) -> list[str]:
    if system.isfile(path):
        return [path]
    if glob.has_magic(path):
        return sorted(each for each in system.glob(path) if system.isfile(each))
    return sorted(each for each in system.find(path) if _read_from_folders(each))


def _suggestion(path: Path) -> str:
    """Name what the user may have meant: a named corpus, or a neighbour of the missing file."""
    names = difflib.get_close_matches(path.name, NAMED_CORPORA, n=1)
    parent = path.parent
    while not parent.is_dir():
        parent = parent.parent
    try:
        wanted = path.relative_to(parent).parts[0]
        near = difflib.get_close_matches(wanted, os.listdir(parent), n=1)
    except OSError:
        near = []
    meant = [*names, *(str(parent / name) for name in near)]
    if meant:
        return f" Did you mean {' or '.join(meant)}?"
    return f" Named corpora are: {', '.join(NAMED_CORPORA)}."
