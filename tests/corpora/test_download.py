"""Fetching, against a server of our own that misbehaves on request."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from opening_corpora import Remembering, shared_corpus, texts

from hornbook.cache import cache_folder
from hornbook.corpora import NAMED_CORPORA, cached_file, fetch, is_cached, named, sources
from hornbook.download import ATTEMPTS
from hornbook.download import download as download_for
from hornbook.durable import file_checksum
from hornbook.errors import CorpusError

download = partial(download_for, error=CorpusError)
CONTENT = b"".join(b"line %d of the file on the server\n" % n for n in range(20_000))


@dataclass
class Served:
    """What the server holds, how it behaves, and what it was asked."""

    address: str = ""
    content: bytes = CONTENT
    etag: str | None = '"first"'
    ranges: bool = True
    checks_if_range: bool = True
    announces_length: bool = True
    status: int | None = None
    cuts: list[int] = field(default_factory=list)  # bytes to send before each cut
    asked: list[tuple[str | None, int]] = field(default_factory=list)  # (Range, status sent)


def handler_for(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            body, status = served.content, served.status or 200
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            same = self.headers.get("If-Range") == served.etag or not served.checks_if_range
            if wanted and served.ranges and same and served.status is None:
                status = 206 if start < len(body) else 416
            served.asked.append((wanted, status))
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                body = body[start:]
            if served.etag:
                self.send_header("ETag", served.etag)
            if served.announces_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status < 400:
                self.wfile.write(body[: served.cuts.pop(0)] if served.cuts else body)

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    return Handler


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(served))
    served.address = f"http://127.0.0.1:{server.server_address[1]}/corpus.txt"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "corpora" / "corpus.txt"


def fetch_once(served: Served, target: Path, **known: Any) -> list[float]:
    """Download without waiting; return the pauses that would have been made."""
    pauses: list[float] = []
    download(served.address, target, wait=pauses.append, **known)
    assert target.read_bytes() == served.content
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return pauses


def break_off(served: Served, target: Path, *cuts: int) -> None:
    """Let every attempt end early, so that a beginning is left behind."""
    served.cuts = list(cuts)
    with pytest.raises(CorpusError, match="run the same command again to continue"):
        download(served.address, target, wait=lambda seconds: None)
    assert not target.exists()
    assert target.with_name("corpus.txt.part").exists()
    served.asked.clear()


def test_a_plain_download_with_progress(served, target, listener: Remembering):
    checksum = hashlib.sha256(CONTENT).hexdigest()
    download(served.address, target, sha256=checksum, listener=listener)
    assert file_checksum(target) == checksum
    assert listener.totals == listener.advanced == [len(CONTENT)]


def test_a_cut_connection_is_continued_where_it_ended(served, target):
    served.cuts = [1000, 2000]
    assert fetch_once(served, target) == [1.0, 2.0]
    assert served.asked == [(None, 200), ("bytes=1000-", 206), ("bytes=3000-", 206)]


def test_the_next_run_continues_too(served, target, listener):
    break_off(served, target, *[500] * ATTEMPTS)
    download(served.address, target, listener=listener)
    assert target.read_bytes() == CONTENT
    assert served.asked == [(f"bytes={500 * ATTEMPTS}-", 206)]
    assert listener.advanced == [len(CONTENT)]


def test_a_server_without_ranges_starts_again(served, target):
    served.ranges = False
    served.cuts = [1000]
    fetch_once(served, target)
    assert served.asked == [(None, 200), ("bytes=1000-", 200)]


def test_a_server_without_versions_is_never_continued(served, target):
    served.etag = None
    served.cuts = [1000]
    fetch_once(served, target)
    assert served.asked == [(None, 200), (None, 200)]


def test_a_weak_version_is_no_version(served, target):
    served.etag = 'W/"first"'
    served.cuts = [1000]
    fetch_once(served, target)
    assert served.asked == [(None, 200), (None, 200)]


@pytest.mark.parametrize("checks_if_range", [True, False])
def test_a_file_that_changed_meanwhile_starts_again(served, target, checks_if_range):
    break_off(served, target, *[500] * ATTEMPTS)
    served.content, served.etag = CONTENT[::-1], '"second"'
    served.checks_if_range = checks_if_range
    fetch_once(served, target)


def test_a_file_that_became_shorter_starts_again(served, target):
    break_off(served, target, *[500] * ATTEMPTS)
    served.content = CONTENT[:100]
    fetch_once(served, target)
    assert [status for _, status in served.asked] == [416, 200]


def test_a_beginning_from_another_address_is_not_used(served, target):
    break_off(served, target, *[500] * ATTEMPTS)
    served.address += "?version=2"
    fetch_once(served, target)
    assert served.asked == [(None, 200)]


def test_a_server_that_announces_no_length(served, target):
    served.announces_length = False
    assert fetch_once(served, target) == []  # nothing had to be tried again


def test_a_wrong_checksum_leaves_nothing_behind(served, target):
    with pytest.raises(CorpusError, match=rf"not {'0' * 64}.*put the file at .*corpus.txt"):
        download(served.address, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []


def test_a_missing_file_is_not_asked_for_twice(served, target):
    served.status = 404
    with pytest.raises(CorpusError, match="answered 404 Not Found.*put the file at .*corpus.txt"):
        download(served.address, target)
    assert len(served.asked) == 1


def test_a_server_in_trouble_is_asked_again_for_a_while(served, target):
    served.status = 503
    with pytest.raises(CorpusError, match=f"failed {ATTEMPTS} times.*503"):
        download(served.address, target, wait=lambda seconds: None)
    assert len(served.asked) == ATTEMPTS


def test_no_network_says_where_to_put_the_file(target):
    with pytest.raises(CorpusError, match="cannot be reached.*put the file at .*corpus.txt"):
        download("http://127.0.0.1:9/corpus.txt", target)


def test_a_folder_that_cannot_be_made(served, tmp_path):
    (tmp_path / "corpora").write_text("a file in the way")
    with pytest.raises(CorpusError, match="HORNBOOK_CACHE"):
        download(served.address, tmp_path / "corpora" / "corpus.txt")


@pytest.fixture
def at_our_server(served, monkeypatch):
    """Let every named corpus be fetched from the test's server, unchecked."""
    known = {
        name: replace(corpus, address=corpus.address and served.address, sha256=None)
        for name, corpus in NAMED_CORPORA.items()
    }
    for module in (named, sources):
        monkeypatch.setattr(module, "NAMED_CORPORA", MappingProxyType(known))
    return known


def test_a_named_corpus_is_fetched_once(served, at_our_server):
    assert texts("tinyshakespeare") == [CONTENT.decode()]
    assert texts("tinyshakespeare") == [CONTENT.decode()]
    assert len(served.asked) == 1
    assert is_cached(at_our_server["tinyshakespeare"])
    assert not is_cached(at_our_server["the-verdict"])


def test_a_table_of_verses_becomes_lines(served, at_our_server):
    served.content = b'Book,Chapter,Verse,Text\r\nRuth,1,1,"Now, it"\r\nRuth,1,2,And\r\n'
    served.address = served.address.replace("txt", "csv")
    corpus = replace(at_our_server["akjv"], address=served.address)
    assert fetch(corpus).read_bytes() == b"Ruth 1:1\tNow, it\nRuth 1:2\tAnd\n"
    assert [path.name for path in cached_file(corpus).parent.iterdir()] == ["akjv.txt"]


def test_a_table_that_changed_its_columns_is_an_error(served, at_our_server):
    served.content = b"Buch,Text\nRut,x\n"
    with pytest.raises(CorpusError, match="Delete it to fetch it again, or put the text itself at"):
        fetch(at_our_server["akjv"])


def test_a_file_put_into_the_cache_by_hand_is_used(cache):
    path = cached_file(NAMED_CORPORA["tinystories"])
    assert path == cache / "corpora" / "tinystories.txt"
    path.parent.mkdir()
    path.write_text("Once.<|endoftext|>Twice.")
    assert texts("tinystories") == ["Once.", "Twice."]


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HORNBOOK_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hornbook"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "hornbook"


@pytest.mark.parametrize("name", ["tinyshakespeare", "the-verdict"])
def test_known_checksums_are_those_of_the_real_files(name):
    path = Path(shared_corpus(f"{name}.txt"))
    assert file_checksum(path) == NAMED_CORPORA[name].sha256
    assert path.stat().st_size == NAMED_CORPORA[name].bytes
