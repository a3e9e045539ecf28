"""hornbook tokenizer explain: what a person sees of a tokenization."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

import hornbook
from hornbook.cli.explanation import explanation_lines
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, Tokenizer, WordTokenizer
from hornbook.tokenizers.explanation import explain
from hornbook.tokenizers.formats.gpt2_files import read_gpt2
from hornbook.tokenizers.formats.published import PUBLISHED_VOCABULARIES
from hornbook.tokenizers.formats.tiktoken_file import ranks_of_tokenizer

EGGS = BPETokenizer([(101, 103), (256, 103), (32, 257)], "gpt2")


def lines_of(tokenizer: Tokenizer, text: str, width: int = 60) -> list[str]:
    lines = explanation_lines(explain(tokenizer, text), width)
    return "\n".join(line.plain for line in lines).splitlines()


def test_the_whole_story_of_a_short_text() -> None:
    assert lines_of(EGGS, "egg Egg egg é") == [
        "",
        "13 characters, 14 bytes of UTF-8",
        "  e  g  g  ·  E  g  g  ·  e  g  g  ·  é",
        "  65 67 67 20 45 67 67 20 65 67 67 20 C3 A9",
        "",
        "  é   U+00E9  LATIN SMALL LETTER E WITH ACUTE",
        "",
        "4 pre-tokens, cut by the pattern 'gpt2'",
        "  egg|·Egg|·egg|·é",
        "",
        "5 merges in 2 different pre-tokens, the lowest id first",
        "  egg",
        "                  e g g",
        "    256  e + g    [eg] g",
        "    257  eg + g   [egg]",
        "  ·egg",
        "                   · e g g",
        "    256  e + g     · [eg] g",
        "    257  eg + g    · [egg]",
        "    258  · + egg   [·egg]",
        "",
        "9 tokens, 1.56 bytes each",
        "  egg ·  E  g   g   ·egg ·  <C3> <A9>",
        "  257 32 69 103 103 258  32 195  169",
    ]


def test_families_without_merges_show_bytes_and_ids() -> None:
    lines = lines_of(ByteTokenizer(), "é\n")
    assert lines[-3:] == ["3 tokens, 1.00 bytes each", "  <C3> <A9> ⏎", "  195  169  10"]
    assert "  ⏎   U+000A  control character 10" in lines
    words = lines_of(WordTokenizer.train(["to be"]), "to be")
    assert "3 words, cut into runs of letters, white space, digits and the rest" in words
    assert not any("merge" in line for line in lines + words)


def test_lines_fit_the_screen_and_a_long_pre_token_is_cut_around_the_merge() -> None:
    text = "나무 🙂 " * 9 + "z" * 40 + "egg" + "z" * 40
    lines = lines_of(EGGS, text, width=50)
    begin = next(i for i, line in enumerate(lines) if "merges in" in line)
    end = next(i for i, line in enumerate(lines) if " tokens, " in line)
    assert max(map(cell_len, lines[:begin] + lines[end:])) <= 100  # one pre-token is no shorter
    assert all(cell_len(line) <= 50 for line in lines[:begin] if "z" * 40 not in line)
    assert f"    256  e + g    ... {'z ' * 12}[eg]{' g'}{' z' * 11} ..." in lines


def test_nothing_gives_no_columns() -> None:
    assert [line for line in lines_of(EGGS, "") if line] == [
        "0 characters, 0 bytes of UTF-8",
        "0 pre-tokens, cut by the pattern 'gpt2'",
        "0 tokens",
    ]


def test_without_a_tokenizer_the_first_lines_say_which_one_is_used(call: Any) -> None:
    result = call("tokenizer", "explain", "The newest egg, Egg egg! 나무 🙂")
    assert result.exit_code == 0
    first, second, *rest = result.stdout.splitlines()
    assert first == (
        "Byte pair encoding, 2,048 entries, learned just now from python-docs, the manual inside "
        "Python."
    )
    assert second == "No tokenizer was named; choose one with --tokenizer PATH|NAME, such as gpt2."
    assert "9 pre-tokens, cut by the pattern 'gpt2'" in rest
    assert "  나  U+B098  HANGUL SYLLABLE NA" in rest


def test_gpt2_is_used_if_it_was_fetched_before(
    call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(__file__).resolve().parents[3] / "shared" / "vocabularies"
    if not folder.is_dir():
        pytest.skip("needs ../shared with published vocabularies, which is absent here")
    gpt2 = read_gpt2(folder / "gpt2-vocab.json", folder / "gpt2-merges.txt")
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path))
    place = PUBLISHED_VOCABULARIES["gpt2"].cached_file
    place.parent.mkdir(parents=True)
    place.write_bytes(ranks_of_tokenizer(gpt2))
    result = call("tokenizer", "explain", "The newest egg, Egg egg! 나무 🙂")
    first, second, *rest = result.stdout.splitlines()
    assert first == "gpt2: Byte pair encoding, 50,257 entries."
    assert second == "No tokenizer was named; choose one with --tokenizer PATH|NAME, such as gpt2."
    assert rest[-1].split()[:7] == ["464", "15530", "5935", "11", "14562", "5935", "0"]


def test_a_tokenizer_stands_in_front_or_in_its_option(call: Any, finished_run: Any) -> None:
    place, text = finished_run.path, "The river"
    in_front = call("tokenizer", "explain", place, text).stdout
    assert in_front == call("tokenizer", "explain", "--tokenizer", place, text).stdout
    assert in_front == call("tokenizer", "explain", place, "-", text=text).stdout
    assert in_front.startswith(f"{place}: Byte pair encoding, 300 entries.\n")
    ids = call("tokenizer", "encode", place, text, "--ids").stdout.split()
    assert in_front.splitlines()[-1].split() == ids


def test_a_long_text_is_cut_and_said_so(call: Any, finished_run: Any) -> None:
    words = ["tokenizer", "explain", finished_run.path, "river " * 50]
    short, whole = call(*words).stdout, call(*words, "--all").stdout
    said = "The first 200 of 300 characters, as a text of their own; --all explains the rest too.\n"
    assert said in short
    assert "\n200 characters, 200 bytes of UTF-8\n" in short
    assert said not in whole
    assert "\n300 characters, 300 bytes of UTF-8\n" in whole


def test_on_a_terminal_tokens_are_coloured_and_controls_are_harmless(
    monkeypatch: pytest.MonkeyPatch, finished_run: hornbook.Run
) -> None:
    from hornbook.cli.tokenizer_explain import explain as command

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", screen)
    command([str(finished_run.path), "a\x1b[2J\u202eb"])
    assert "\x1b[30;43m" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
    assert "\u202e" not in screen.getvalue()
    assert "␛" in screen.getvalue()
    assert "<U+202E>" in screen.getvalue()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "b", "c"], "these are 3 words. Put quotes around the text."),
        (["--tokenizer", "RUN", "b", "c"], "these are 2 words beside --tokenizer"),
        (["absent", "a"], "absent"),
        (["RUN", "\udcff"], "lone surrogate"),
    ],
)
def test_mistakes_are_told(
    refused: Callable[..., str], finished_run: Any, words: list[str], said: str
) -> None:
    place: Path = finished_run.path
    told = refused("tokenizer", "explain", *(str(place) if w == "RUN" else w for w in words))
    assert said in told


def test_bytes_that_are_no_text_are_refused(refused: Callable[..., str], finished_run: Any) -> None:
    told = refused("tokenizer", "explain", finished_run.path, "-", text=b"ab\xff")
    assert "standard input is not UTF-8 text: byte 2 is 0xff" in told
