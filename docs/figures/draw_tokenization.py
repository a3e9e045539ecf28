"""Draw the figures of docs/tokenization.md; the same numbers give the same bytes.

    python docs/figures/draw_tokenization.py                              # from vocabulary-size.csv
    python docs/figures/draw_tokenization.py --measure ../shared/corpora  # measure them first

Measuring wants books.txt, akjv.txt and tinyshakespeare.txt in that folder. GPT-2's vocabulary
is loaded by its name; ``--tokenizer`` gives its file instead.
"""

from __future__ import annotations

import argparse
import csv
import io
import warnings
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from hornbook.durable import write_durably
from hornbook.models import Transformer, TransformerConfig
from hornbook.tokenizers import BPETokenizer, BPETokenizerConfig, Tokenizer, train_tokenizer
from hornbook.tokenizers.bpe_reference import count_pre_tokens
from hornbook.tokenizers.explanation import applied_merges, explain
from hornbook.tokenizers.patterns import splitter
from hornbook.tokenizers.special_tokens import END_OF_TEXT

FOLDER = Path(__file__).parent
NUMBERS = FOLDER / "vocabulary-size.csv"
TEXTS = {
    "books.txt": "229 English books, 100 MB",
    "akjv.txt": "the Bible, 4.5 MB",
    "tinyshakespeare.txt": "Shakespeare, 1.1 MB",
}
LARGEST = 1 << 16
"""The largest vocabulary that is measured, special tokens not counted [tokens]."""
HELD_OUT = 0.1
"""The share at the end of a text that is measured on; the vocabulary comes from the rest."""
SIZES = sorted({256, *(round(256 * 2 ** (n / 4)) for n in range(1, 33))})
"""The vocabularies that are shown: four to each doubling [tokens]."""
MODELS = {
    "width 128, 4 layers": TransformerConfig(d_model=128, layers=4, heads=4),
    "width 384, 6 layers": TransformerConfig(d_model=384, layers=6, heads=6),
    "width 768, 12 layers": TransformerConfig(d_model=768, layers=12, heads=12),
}
EXAMPLE = "The newest egg, Egg egg! 나무 🙂"

PAPER, INK, MUTED, GRID = "#fdfdfb", "#1d2530", "#626c7a", "#e4e6ea"
LINES = ("#2f2370", "#c8501e", "#3d7ea6")
BOXES = ("#dfe8f2", "#f6e3c5")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hornbook",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.parse_math": False,
}


def measure(corpora: Path) -> None:
    """Write how many bytes a token carries on the end of each text, for every size shown."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["text", "entries", "bytes_per_token"])
    for name in TEXTS:
        text = (corpora / name).read_text(encoding="utf-8")
        border = int(len(text) * (1 - HELD_OUT))
        config = BPETokenizerConfig(vocab_size=LARGEST + 1)
        learned = train_tokenizer(config, [text[:border]])
        assert isinstance(learned, BPETokenizer)
        for entries, each in bytes_per_token(learned, text[border:]).items():
            rows.writerow([name, entries, f"{each:.4f}"])
    write_durably(NUMBERS, table.getvalue().encode("utf-8"))


def bytes_per_token(tokenizer: BPETokenizer, text: str) -> dict[int, float]:
    """Return the bytes a token carries by size, for this vocabulary and all that it grew from.

    A smaller vocabulary has the first merges of a larger one, and encoding applies merges in
    the order of their ids. So one pass counts, for each merge, the tokens it saves.
    """
    ranks = {pair: 256 + number for number, pair in enumerate(tokenizer.merges)}
    counts = count_pre_tokens(text.split(END_OF_TEXT), splitter(tokenizer.pattern))
    saved: Counter[int] = Counter()
    for pre_token, count in counts.items():
        length = len(pre_token)
        for pair, ids in applied_merges(list(pre_token), ranks):
            saved[ranks[pair]] += (length - len(ids)) * count
            length = len(ids)
    size = sum(len(pre_token) * count for pre_token, count in counts.items())
    tokens = accumulate(
        (-saved[token_id] for token_id in range(256, 256 + len(ranks))), initial=size
    )
    by_entries = dict(enumerate(tokens, start=256))
    sizes = sorted({*SIZES, max(by_entries)} & by_entries.keys())
    return {entries: size / by_entries[entries] for entries in sizes}


def embedding_share(config: TransformerConfig, entries: int) -> float:
    """Return the token embedding's share of all weights of a model with a tied head [0 to 1]."""
    with torch.device("meta"):
        model = Transformer(config, vocab_size=entries, context_length=256)
    weights = sum(parameter.numel() for parameter in model.parameters())
    return entries * config.d_model / weights


def draw_vocabulary_size() -> None:
    """Two panels over the vocabulary's size: text per token, and what the embedding costs."""
    figure = Figure(figsize=(9.2, 3.7), facecolor=PAPER)
    left, right = figure.subplots(1, 2)
    with open(NUMBERS, encoding="utf-8", newline="") as file:
        measured = list(csv.DictReader(file))
    for colour, (name, title) in zip(LINES, TEXTS.items(), strict=True):
        points = [row for row in measured if row["text"] == name]
        sizes = [int(row["entries"]) for row in points]
        each = [float(row["bytes_per_token"]) for row in points]
        left.plot(sizes, each, color=colour, label=title, linewidth=1.8)
        left.plot(sizes[-1], each[-1], "o", color=colour, markersize=4)
    left.set_ylim(0)
    left.set_title("bytes of text per token, on text held out", loc="left", fontsize=10)
    for colour, (title, config) in zip(LINES, MODELS.items(), strict=True):
        shares = [100 * embedding_share(config, entries) for entries in SIZES]
        right.plot(SIZES, shares, color=colour, label=title, linewidth=1.8)
    right.set_ylim(0, 100)
    right.set_title("share of the token embedding in all weights [%]", loc="left", fontsize=10)
    for axes in (left, right):
        finish_axes(axes)
    figure.tight_layout(w_pad=3)
    write_svg(figure, FOLDER / "vocabulary-size.svg")


def finish_axes(axes: Axes) -> None:
    """Give a panel the axis of vocabulary sizes, its key, and no more lines than it needs."""
    axes.set_facecolor("none")
    axes.set_xscale("log", base=2)
    ticks = [256, 1024, 4096, 16384, 65536]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("entries of the vocabulary")
    axes.grid(color=GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5)


def draw_from_characters_to_tokens(tokenizer: Tokenizer) -> None:
    """The example in four rows: characters, bytes, pre-tokens and tokens, each above its bytes."""
    told = explain(tokenizer, EXAMPLE)
    size = len(EXAMPLE.encode("utf-8"))
    figure = Figure(figsize=(11.0, 2.4), facecolor=PAPER)
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(-4.2, size + 0.2), ylim=(4.1, -0.1))
    page.set_axis_off()
    content = EXAMPLE.encode("utf-8")
    rows: dict[str, list[tuple[str, int]]] = {
        "characters": [(visible(c.character), len(c.content)) for c in told.characters],
        "bytes": [(f"{byte:02X}", 1) for byte in content],
        "pre-tokens": [(visible(p.text), len(p.text.encode("utf-8"))) for p in told.pieces],
        "token ids": [(str(token.token_id), len(token.content)) for token in told.tokens],
    }
    for row, (title, boxes) in enumerate(rows.items()):
        page.text(-0.3, row + 0.5, title, ha="right", va="center", color=MUTED)
        begin = 0
        for number, (label, width) in enumerate(boxes):
            draw_box(page, begin, row, width, label, BOXES[number % 2])
            begin += width
    write_svg(figure, FOLDER / "characters-to-tokens.svg")


def draw_box(page: Axes, left: int, row: int, width: int, label: str, colour: str) -> None:
    """Draw one box of a row, as wide as its bytes, with its label inside."""
    box = FancyBboxPatch(
        (left + 0.08, row + 0.16),
        width - 0.16,
        0.68,
        boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=colour,
        edgecolor="none",
    )
    page.add_patch(box)
    size = 9 if len(label) < 3 * width else 7.5
    page.text(left + width / 2, row + 0.5, label, ha="center", va="center", fontsize=size)


def visible(text: str) -> str:
    """Return a text with its spaces shown as dots."""
    return text.replace(" ", "·")


def write_svg(figure: Figure, path: Path) -> None:
    """Write a figure without a date or a version in it."""
    content = io.BytesIO()
    unsaid = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(content, format="svg", metadata=unsaid)  # pyright: ignore[reportArgumentType]
    lines = content.getvalue().decode("utf-8").splitlines()
    write_durably(path, "".join(f"{line.rstrip()}\n" for line in lines).encode("utf-8"))


def main() -> None:
    """Measure if asked, then draw."""
    parser = argparse.ArgumentParser(description="Draw the figures of docs/tokenization.md.")
    parser.add_argument("--measure", type=Path, metavar="CORPORA", help="measure first")
    parser.add_argument("--tokenizer", default="gpt2", metavar="NAME", help="GPT-2's vocabulary")
    chosen = parser.parse_args()
    tokenizer = Tokenizer.load(chosen.tokenizer)
    if chosen.measure is not None:
        measure(chosen.measure)
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Letters that the fonts here lack: the reader's screen has them.
        warnings.filterwarnings("ignore", message=r"(?s).*(Glyph|font).*")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        draw_vocabulary_size()
        draw_from_characters_to_tokens(tokenizer)


if __name__ == "__main__":
    main()
