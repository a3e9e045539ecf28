"""What the text may be holds for every tokenizer, however it cuts the text."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import ConfigError, GenerationError
from hornbook.generation import Chooser, Sample, SamplingConfig, Vocabulary, generate, vocabulary_of
from hornbook.generation.byte_automaton import NOWHERE, AllowedTexts, ByteAutomaton, WithoutTexts
from hornbook.generation.byte_pattern import PatternTexts
from hornbook.generation.token_masks import TokenMasks
from hornbook.generation.utf8_classes import characters
from hornbook.models import Bigram, BigramConfig
from hornbook.runs.resolution import resolve
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer

SENTENCES = "the cat saw the dog, and the dog saw the caf\u00e9 at 12:30 on 2024-05-06; 'ok'? "
TEXT = (SENTENCES + "\u4f60\u597d! ") * 3


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "byte":
        return ByteTokenizer()
    if kind == "char":
        return CharTokenizer.train([TEXT])
    return BPETokenizer.train([TEXT], vocab_size=256 + 60)


tokenizers = pytest.mark.parametrize("kind", ["byte", "char", "bpe"])


def write(kind: str, seed: int = 0, prompt: str = "the ", **settings: Any) -> list[Sample]:
    """What a model with random weights writes."""
    tokenizer = tokenizer_of(kind)
    model = Bigram(BigramConfig(), vocab_size=tokenizer.vocab_size)
    with torch.no_grad():
        weight = model.table.weight
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) * 2)
    config = SamplingConfig.model_validate(
        {"temperature": 1.0, "samples": 6, "max_tokens": 60, **settings}
    )
    return generate(model, tokenizer, prompt, config)


PATTERNS = [
    r"\d{4}-\d\d-\d\d",
    r"(yes|no|maybe not)",
    r"[a-z]+( [a-z]+){0,3}\.",
    r"caf\u00e9s?|\u4f60\u597d{1,3}",
    r'\{"name": "[^"\\\n]{0,8}", "age": (0|[1-9]\d?)\}',
    r"(?i)hello,? (dog|cat)!*",
    r"^\s?\w{1,5}$",
    r".{3}",
    r"((a|bb)*c?){2,}?x",
]


@tokenizers
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_written_matches(kind: str, pattern: str) -> None:
    samples = write(kind, pattern=pattern)
    whole = [sample for sample in samples if sample.ending in {"complete", "end"}]
    assert {sample.ending for sample in samples} <= {"complete", "end", "length"}
    for sample in whole:
        assert re.fullmatch(pattern, sample.text), sample
    unlimited = "*" in pattern or "+" in pattern or "," in pattern
    assert len(whole) == len(samples) or unlimited


@tokenizers
def test_where_the_end_token_does_not_end_the_text_is_still_whole(kind: str) -> None:
    for sample in write(kind, pattern="(ab|cd){2}", stop_at_end=False):
        assert (sample.ending, bool(re.fullmatch("(ab|cd){2}", sample.text))) == ("complete", True)


@tokenizers
@pytest.mark.parametrize("banned", [["a"], ["the", "at"], ["\u00e9", "e "], ["tt", "t t", "ab"]])
def test_what_is_banned_is_never_written(kind: str, banned: list[str]) -> None:
    for seed in range(3):
        for sample in write(kind, seed=seed, banned=banned, samples=8):
            assert not any(text in sample.text for text in banned)


def test_a_banned_text_is_not_put_together_from_tokens() -> None:
    """A model that would write it if it were let, from pieces that are each allowed."""
    tokenizer = tokenizer_of("byte")
    model = Bigram(BigramConfig(), vocab_size=tokenizer.vocab_size)
    with torch.no_grad():
        for here, after in zip("badba", "adbad", strict=True):
            model.table.weight[ord(here), ord(after)] = 9.0
        model.table.weight[ord("a"), ord("n")] = 5.0
        model.table.weight[ord("n"), ord("b")] = 5.0
    config = SamplingConfig(temperature=0, max_tokens=9, banned=("bad",))
    assert generate(model, tokenizer, "", config)[0].text.count("bad") == 0
    # The prompt does not count: only what is written.
    assert generate(model, tokenizer, "ba", config)[0].text.startswith("db")


ALLOWED = ["cat", "cats", "dog, and", "caf\u00e9", "\u4f60"]


@tokenizers
def test_what_is_written_is_one_of_those_allowed(kind: str) -> None:
    for seed in range(4):
        for sample in write(kind, seed=seed, allowed=ALLOWED, banned=["dog"]):
            assert sample.text in ALLOWED
            assert sample.text != "dog, and"
            assert sample.ending in {"complete", "end"}


@pytest.mark.parametrize("seed", range(6))
def test_greedy_takes_the_likeliest_of_what_can_still_be_whole(seed: int) -> None:
    tokens = (b"a", b"b", b"c", b"ab", b"bc", b"ca", b"abc", b"<end>")
    wanted = ["abca", "bcab", "cab", "aab"]
    chooser = Chooser(Vocabulary(8, tokens, end_id=7, special=frozenset((7,))), torch.device("cpu"))
    chooser.join(SamplingConfig(temperature=0, allowed=tuple(wanted)), [0])
    draw = torch.Generator().manual_seed(seed)
    text = ""
    while not chooser.is_complete(0):
        logits = torch.randn(1, 8, generator=draw)
        able = [
            token
            for token, content in enumerate(tokens[:7])
            if any(each.startswith(text + content.decode()) for each in wanted)
        ]
        expected = max(able, key=lambda token: float(logits[0, token]))
        ids = chooser.choose(logits, torch.zeros(1)).ids
        assert ids.tolist() == [expected]
        chooser.accept(ids)
        text += tokens[expected].decode()
    assert text in wanted


@tokenizers
def test_no_stop_text_comes_before_the_least_length(kind: str) -> None:
    for seed in range(3):
        for sample in write(kind, seed=seed, min_tokens=25, stop=["a", "e", " t"], samples=8):
            assert len(tokenizer_of(kind).encode(sample.text)) > 0
            assert len(sample.text.encode()) >= 24  # a token has a byte at least, but for the last
            assert sample.ending in {"stop", "length", "end"}


# Automata by themselves.

atoms = st.sampled_from(["a", "b", "\u00e9", ".", "[a-c]", r"\w", r"[^\d\u00e9]", r"\.", "\n", "-"])
counts = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{0}", "{,2}", "{2,}", "*?"])
patterns = st.recursive(
    st.tuples(atoms, counts).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(st.lists(inner, min_size=1, max_size=3).map("|".join), counts).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=5,
)
texts = st.text(st.sampled_from("abc\u00e9\u4f60\n.-7_\U0001f600"), max_size=6)


@given(pattern=patterns, text=texts)
@settings(max_examples=200, deadline=None)
def test_patterns_mean_what_python_says(pattern: str, text: str) -> None:
    assert PatternTexts(pattern).holds(text) == bool(re.fullmatch(pattern, text))


@given(pattern=patterns)
@settings(max_examples=60, deadline=None)
def test_from_every_state_some_text_can_be_finished(pattern: str) -> None:
    """Taking only steps that exist, a walk never runs into a wall."""
    automaton, state, draw = PatternTexts(pattern), 0, random.Random(1)
    for _ in range(12):
        ahead = automaton.steps(np.array([state], dtype=np.int32))[state]
        ways = np.flatnonzero(ahead != NOWHERE)
        if not len(ways):
            assert automaton.complete(state)
            break
        state = int(ahead[draw.choice(ways.tolist())])


@given(
    listed=st.lists(st.text("ab\u00e9", min_size=1, max_size=3), min_size=1),
    text=st.text("ab\u00e9"),
)
def test_lists_of_texts(listed: list[str], text: str) -> None:
    assert AllowedTexts(listed).holds(text) == (text in listed)
    assert WithoutTexts(listed).holds(text) == (not any(each in text for each in listed))


@tokenizers
@pytest.mark.parametrize(
    "automaton",
    [
        PatternTexts(r"(\w+[ ,.])*\d\d:\d\d"),
        WithoutTexts(["the ", "\u00e9"]),
        AllowedTexts(ALLOWED),
    ],
    ids=["pattern", "banned", "allowed"],
)
def test_masks_agree_with_walking_every_token(kind: str, automaton: ByteAutomaton) -> None:
    vocabulary = vocabulary_of(tokenizer_of(kind))
    assert vocabulary.tokens is not None
    masks = TokenMasks(automaton, vocabulary, whole=True)
    for text in ("", "the", "caf", "caf\u00e9"):
        state = automaton.walk(text.encode())
        if state == NOWHERE:
            continue
        expected = [
            token not in vocabulary.special and automaton.walk(content, state) != NOWHERE
            for token, content in enumerate(vocabulary.tokens)
        ]
        assert masks.mask(state).tolist() == expected


def test_classes_are_those_of_re_for_every_character() -> None:
    for expression in (r"\w", r"[^\s\d]", "(?:[\u00e0-\uffff])"):
        own = np.zeros(0x110000, dtype=bool)
        for low, high in characters(expression):
            own[low : high + 1] = True
        draw = random.Random(2)
        for number in [0, 0xD7FF, 0xE000, 0x10FFFF, *draw.sample(range(0x110000), 3000)]:
            if not 0xD800 <= number < 0xE000:
                assert own[number] == bool(re.fullmatch(expression, chr(number)))
        assert not own[0xD800:0xE000].any()


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "position 0"),
        ("xa(?=b)", "place 2"),
        (r"(a)\1", "refers back"),
        (r"a\b", "condition on the place"),
        ("a++", "gives nothing back"),
        (r"[^\s\S]", "no text at all"),
        ("(a{3000}){2}", "5,000"),
        ("a^b", "condition on the place"),
        ("\ud800", "half of a character"),
    ],
)
def test_patterns_that_cannot_be_promised_are_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        resolve(overrides={"sampling.pattern": pattern})


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    wrong = {
        "temperature": -1,
        "top_p": 0,
        "min_p": 2,
        "stop": ("",),
        "banned": ("",),
        "pattern": "(",
        "logit_bias": ("5",),
    }
    with pytest.raises(ConfigError) as told:
        resolve(overrides={f"sampling.{key}": value for key, value in wrong.items()})
    assert {problem.key for problem in told.value.problems} == {f"sampling.{key}" for key in wrong}
    clashing = {"pattern": "a", "allowed": ("ab",), "banned": ("b",), "min_tokens": 999}
    with pytest.raises(ConfigError) as told:
        resolve(overrides={f"sampling.{key}": value for key, value in clashing.items()})
    keys = {problem.key for problem in told.value.problems}
    assert keys == {"sampling.allowed", "sampling.banned", "sampling.min_tokens"}


def test_what_does_not_fit_the_vocabulary_is_told_at_once() -> None:
    with pytest.raises(GenerationError) as told:
        write("byte", top_k=999, logit_bias={500: 1.0})
    assert "top_k" in str(told.value)
    assert "500" in str(told.value)
    tokens = Vocabulary(2, (b"a", b"b"))
    for settings_of in ({"pattern": "c"}, {"allowed": ("ca",)}, {"banned": ("a", "b")}):
        with pytest.raises(GenerationError, match="no token to begin with"):
            Chooser(tokens, torch.device("cpu")).join(
                SamplingConfig.model_validate(settings_of), [0]
            )
    with pytest.raises(GenerationError, match="tokenizer"):
        Chooser(Vocabulary(2), torch.device("cpu")).join(SamplingConfig(pattern="a"), [0])


def test_no_text_is_begun_that_the_vocabulary_cannot_end() -> None:
    tokens = Vocabulary(4, (b"a", b"b", b"ab", b"<end>"), end_id=3, special=frozenset({3}))
    for allowed, expected in {
        ("ac", "b"): [1],
        ("abc", "aab"): [0],
        ("abab", "ac"): [0, 2],
        ("bcb", "bab"): [1],
    }.items():
        chooser = Chooser(tokens, torch.device("cpu"))
        chooser.join(SamplingConfig(allowed=allowed), [0])
        assert chooser.scores(torch.zeros(1, 4))[0].isfinite().nonzero()[:, 0].tolist() == expected
        for _ in range(4):
            if not chooser.is_complete(0):
                choice = chooser.choose(torch.zeros(1, 4), torch.zeros(1))
                assert choice.possible is not None
                assert choice.possible.all()
                chooser.accept(choice.ids)
        assert chooser.is_complete(0)
    with pytest.raises(GenerationError, match="no token to begin with"):
        Chooser(tokens, torch.device("cpu")).check(SamplingConfig(pattern="a+c|bc"))


def test_a_text_that_the_rules_let_nowhere_says_that_it_is_stuck() -> None:
    found = write("byte", pattern="aa", no_repeat_ngram=1, prompt="b", samples=1)[0]
    assert (found.text, found.ending) == ("a", "stuck")
