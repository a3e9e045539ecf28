"""Pre-tokens: nothing is lost, and the published patterns cut as their publishers do."""

import pytest
import regex
import tiktoken
from awkward_texts import any_text
from hypothesis import given, settings

from hornbook.errors import TokenizerError
from hornbook.tokenizers.patterns import NAMES, splitter
from hornbook.tokenizers.unicode_classes import in_stated_version

RELEASED = {
    # As first published, before tiktoken made gpt2 and cl100k faster.
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "o200k": "|".join(
        [
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        ]
    ),
}
OWN = [r"\d", r"[a-z]+|(\s)", r"x*", r"(?<=a)|b", r"^.", r"\X", "(?:word)"]


@pytest.mark.parametrize("pattern", [*NAMES, *OWN])
@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_nothing_is_lost(pattern: str, text: str) -> None:
    pre_tokens = splitter(pattern)(text)
    assert "".join(pre_tokens) == text
    assert "" not in pre_tokens


@pytest.mark.parametrize("name", RELEASED)
@settings(max_examples=500, deadline=None)
@given(text=any_text)
def test_published_patterns_cut_as_first_released(name: str, text: str) -> None:
    if name == "cl100k":
        text += "."  # white space that ends a text is the one place where tiktoken's now differs
    # Where the regex module knows a younger Unicode, its classes are not those of the publisher.
    stated = regex.findall(RELEASED[name], in_stated_version(text))
    assert list(map(len, splitter(name)(text))) == list(map(len, stated))


@pytest.mark.parametrize("name", RELEASED)
def test_published_patterns_are_those_tiktoken_ships(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiktoken_ext import openai_public

    # Its patterns stand inside functions that would fetch the vocabularies.
    monkeypatch.setattr(openai_public, "data_gym_to_mergeable_bpe_ranks", lambda **_: {})
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
    published = {
        "gpt2": openai_public.gpt2,
        "cl100k": openai_public.cl100k_base,
        "o200k": openai_public.o200k_base,
    }[name]()["pat_str"]
    from hornbook.tokenizers.patterns import PUBLISHED

    assert PUBLISHED[name] == published
    # tiktoken's engine must take it, too: each byte a token shows that it cuts without loss.
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding(name, pat_str=published, mergeable_ranks=ranks, special_tokens={})
    assert encoding.decode(encoding.encode("Don't\r\n 42")) == "Don't\r\n 42"


def test_words() -> None:
    split = splitter("words")
    assert split("l’homme d'État's 3½ km…\r\n e\u0301a 'tis rock'n'roll--x' ") == [
        "l’homme", " ", "d'État's", " ", "3½", " ", "km", "…", "\r\n ", "e\u0301a", " ", "'",
        "tis", " ", "rock'n'roll", "--", "x", "'", " ",
    ]  # fmt: skip
    assert split("語言。٣٤") == ["語言", "。", "٣٤"]
    assert split("") == []


def test_none_leaves_the_text_whole() -> None:
    assert splitter("none")("a b") == ["a b"]
    assert splitter("none")("") == []


def test_own_expressions_keep_what_they_do_not_match() -> None:
    assert splitter(r"\d+")("a12b3") == ["a", "12", "b", "3"]
    assert splitter(r"(a)(b)")("xabx") == ["x", "ab", "x"]
    assert splitter("(?:word)")("a word") == ["a ", "word"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?r)[a-z]+", r"searches backwards; leave out the flag r"),
        ("(?u)(?a)x ", r"no regular expression.*mutually incompatible"),
        ("(" * 3000 + ")" * 3000, r"no regular expression.*recursion"),
        (" \udcff+", r"the pattern: character 1 is a lone surrogate"),
    ],
)
def test_patterns_that_cannot_cut_a_text(pattern: str, said: str) -> None:
    with pytest.raises(TokenizerError, match=said):
        splitter(pattern)


@pytest.mark.parametrize("pattern", ["(a", "[", "*", r"\p{Nonsense}", "(?P<a>x)(?P<a"])
def test_invalid_expressions(pattern: str) -> None:
    with pytest.raises(TokenizerError, match=r"no regular expression.*gpt2, cl100k") as caught:
        splitter(pattern)
    assert pattern in str(caught.value).replace("\\\\", "\\")


@pytest.mark.parametrize("pattern", ["gpt3", "cl100k_base", "GPT2", "", "word"])
def test_a_mistyped_name_is_no_expression(pattern: str) -> None:
    with pytest.raises(TokenizerError, match="is none of 'gpt2', 'cl100k', 'o200k', 'words', 'n"):
        splitter(pattern)
