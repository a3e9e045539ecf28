"""The report: all of a run on one page, whatever is in it or missing from it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from hornbook import Run, RunConfig, open_run
from hornbook.errors import RunError
from hornbook.inspection import write_report
from hornbook.models import build_model
from hornbook.runs.assembly import open_store
from hornbook.runs.checkpoints import TrainingState, save_checkpoint
from hornbook.runs.manifest import Fingerprints, Origin, Session
from hornbook.runs.resolution import resolve

MakeRun = Callable[..., Run]
UNCLOSED = {"meta", "br"}


class Page(HTMLParser):
    """A page read back: its tags, its text, and whether every tag is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text("utf-8"))
        assert not self._open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in UNCLOSED:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_tells_all_of_a_run(make_run: MakeRun) -> None:
    side = {"documents": 1200, "characters": 34567, "bytes": 34569}
    run = make_run(
        "poems",
        config=resolve(overrides={"seed": 77, "corpus.files": ("poems & more.txt",)}),
        preset="tiny",
        fingerprints=Fingerprints(corpus="c" * 64, split="d" * 64, tokenizer="e" * 64, tokens="f"),
        split={
            "method": "last",
            "training": side,
            "validation": dict.fromkeys(side, 1),
            "empty_dropped": 3,
        },
        forked_from=Origin(run="parent", step=50, changed={"seed": (1, 77)}),
        sessions=(
            Session(
                started="2026-01-31T12:00:01+00:00",
                from_step=50,
                software={"torch": "2.13.0"},
                hardware={"processor": "an abacus"},
                changed={"training.steps": (100, 400)},
            ),
        ),
    )
    torch.manual_seed(0)
    model = build_model(RunConfig().model, vocab_size=16, context_length=8, seed=1)
    checkpoint = save_checkpoint(run.path, model, {}, TrainingState(step=400))
    path = write_report(run)
    assert path == run.path / "report.html"
    page = Page(path)
    for expected in (
        "A transformer model after 400 steps of training.",
        "Best validation loss: 5.125 nats per token, 2.562 bits per byte, after step 300.",
        f"{model.parameter_count():,} parameters",
        "poems & more.txt",
        "1,200 documents, 34,567 characters, 34,569 bytes",
        "1 document, 1 character, 1 byte",
        "last; 3 empty documents left out",
        "c" * 64,
        "1 min 40 s",
        "parent at step 50; changed: seed from 1 to 77",
        "Once wrote beta",
        "6.250",
        "Settings that differ from preset tiny",
        "seed177",
        checkpoint.weights_checksum(),
        "processor: an abacus",
        "torch 2.13.0",
        "training.steps: 100 to 400",
    ):
        assert expected in page.text
    assert page.tags.count("svg") == 2, "the loss, and how training went"


def test_a_run_with_nothing_in_it_has_a_report(make_run: MakeRun) -> None:
    page = Page(write_report(make_run("young", [], [])))
    assert "A transformer model that is not trained yet." in page.text
    assert "None yet." in page.text
    assert "svg" not in page.tags


def test_damaged_parts_do_not_keep_the_report_from_telling_the_rest(make_run: MakeRun) -> None:
    run = make_run("hurt")
    folder = run.path / "checkpoints" / "step-00000400"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{")
    (folder / "model.safetensors").write_bytes(b"half")
    run.folder.tokenizer_file.write_text("{")
    with open(run.folder.metrics.path, "ab") as file:
        file.write(b'{"step": 500, "train')
    page = Page(write_report(run))
    assert "state.json is damaged" in page.text
    assert "after 400 steps" in page.text


def test_nothing_that_was_written_becomes_html(make_run: MakeRun) -> None:
    evil = "</pre></svg><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"
    run = make_run(
        "<i>evil & co",
        samples=[{"step": 100, "prompt": evil, "text": evil + "\x00"}],
        config=resolve(overrides={"corpus.files": (evil,), "training.sample_prompt": evil}),
        preset=evil,
        forked_from=Origin(run=evil, step=1, changed={evil: (evil, evil)}),
        sessions=(
            Session(
                started=evil,
                from_step=0,
                software={evil: evil},
                hardware={evil: evil},
                changed={evil: (evil, evil)},
            ),
        ),
    )
    path = write_report(run)
    page = Page(path)
    assert not {"script", "img", "i"} & set(page.tags)
    assert evil in page.text
    assert "\x00" not in path.read_text("utf-8")


def test_the_report_stands_alone(make_run: MakeRun) -> None:
    text = write_report(make_run("poems")).read_text("utf-8")
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert set(re.findall(r"https?://([^/\"]+)", text)) == {"www.w3.org"}  # names, not addresses
    assert not re.search(r"<(script|link|img|iframe)|url\((?!#)|@import|\bsrc=", text)


def test_the_best_measurement_stands_out_once(make_run: MakeRun) -> None:
    text = write_report(make_run("poems")).read_text("utf-8")
    rows = re.findall(r'<tr class="best">(.*?)</tr>', text)
    assert len(rows) == 1
    assert ">300<" in rows[0]


def test_without_validation_text_the_last_measurement_is_told(make_run: MakeRun) -> None:
    metrics = [{"step": 10, "training_loss": 4.0}, {"step": 20, "training_loss": 3.0}]
    page = Page(write_report(make_run("poems", metrics)))
    assert "after 20 steps" in page.text
    assert "3.000" in page.text
    assert "4.000" not in page.text


def test_training_leaves_a_report(finished_run: Run) -> None:
    page = Page(finished_run.folder.report_file)
    assert f"after {finished_run.config.training.steps} steps" in page.text
    assert "bpe vocabulary of 300" in page.text
    assert finished_run.checkpoints()[-1].weights_checksum() in page.text
    assert "svg" in page.tags


def test_the_report_tells_text_and_model(
    finished_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(finished_run.folder.report_file)
    assert f"{finished_run.model.parameter_count():,} parameters, counted by formula" in page.text
    assert page.tags.count("svg") == 3, "the third is the diagram"
    assert "its weight is the token embedding's" in page.text
    content = finished_run.folder.report_file.read_text("utf-8")
    told = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", content))
    assert finished_run.manifest.fingerprints is not None
    store = open_store(finished_run.folder, finished_run.manifest)
    counts = np.bincount(np.array(store.training.slice(0, len(store.training))), minlength=300)
    assert told["training tokens"].startswith(f"{len(store.training):,} in 1 document, ")
    assert told["tokens that occur"].startswith(f"{(counts > 0).sum()} of 300 ")
    first = f"{100 * counts.max() / counts.sum():.1f} %"
    assert first in told["most frequent"].partition("·")[0]
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path))
    shutil.copytree(finished_run.path, tmp_path / "run")
    page = Page(write_report(open_run(tmp_path / "run")))
    assert "The tokens of its text are not at hand" in page.text
    assert "longest tokens" in page.text


def test_a_large_text_is_counted_in_part(
    finished_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornbook.inspection.report_text.MOST_COUNTED", 1000)
    shutil.copytree(finished_run.path, tmp_path / "run")
    page = Page(write_report(open_run(tmp_path / "run")))
    assert "in the first 1,000;" in page.text


def test_a_report_that_cannot_be_written_says_why(make_run: MakeRun) -> None:
    run = make_run()
    run.folder.report_file.mkdir()
    with pytest.raises(RunError, match=r"report\.html cannot be written: "):
        write_report(run)
