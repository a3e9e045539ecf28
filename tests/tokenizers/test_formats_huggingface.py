"""Hugging Face's tokenizer.json: their ids, and what is refused."""

import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from awkward_texts import AWKWARD, CORPUS, any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.formats.gpt2_files import read_gpt2
from hornbook.tokenizers.formats.huggingface import (
    huggingface_of_tokenizer,
    read_huggingface,
    tokenizer_of_huggingface,
    write_huggingface,
)
from hornbook.tokenizers.formats.pre_tokenizers import CL100K_AS_FIRST_PUBLISHED
from hornbook.tokenizers.formats.published import CL100K
from hornbook.tokenizers.formats.shared_syntax import check_shared
from hornbook.tokenizers.formats.tiktoken_file import read_tiktoken
from hornbook.tokenizers.patterns import PUBLISHED, WORDS, splitter

OWN_PATTERNS = [
    r"\p{Lu}?\p{Ll}++|[a-f0-9]{2,3}|(?:\s(?!\S))+|x*?y",
    CL100K_AS_FIRST_PUBLISHED,
    r"(\d)|(?=.)[^\s\-a]{2,}(?:b|cd)??|\n",
    r"'(?i:[sdmt]|ll|ve|re)|\P{L}\.?",
]


@pytest.fixture(scope="module")
def gpt2(shared: Path) -> BPETokenizer:
    folder = shared / "vocabularies"
    return read_gpt2(folder / "gpt2-vocab.json", folder / "gpt2-merges.txt")


Theirs = Callable[[BPETokenizer], tokenizers.Tokenizer]


@pytest.fixture(scope="module")
def theirs() -> Theirs:
    """How Hugging Face's tokenizers read what is written."""

    def read(tokenizer: BPETokenizer) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(huggingface_of_tokenizer(tokenizer).decode())

    return read


def settled(text: str) -> str:
    """Leave out characters that are too new for one of the two engines to know.

    U+0295 became another kind of letter in between.
    """
    old, awkward = unicodedata.ucd_3_2_0, set("".join(AWKWARD))
    known = (sign for sign in text if old.category(sign) != "Cn" or sign in awkward)
    return "".join(sign for sign in known if sign != "\u0295")


def awkward_texts() -> Iterator[str]:
    """Awkward pieces, and mixtures of them and of their characters."""
    yield from AWKWARD
    chance = random.Random(3)
    signs = [*"".join(AWKWARD), *"aAbcdxy09 \n\r\t'sSlLT-."]
    for _ in range(100):
        yield "".join(chance.choices(AWKWARD, k=12))
        yield "".join(chance.choices(signs, k=30))


def real_texts(shared: Path) -> Iterator[str]:
    for name in ("books.txt", "chinese-poetry.jsonl.txt", "verses-46-languages.xml.txt"):
        with (shared / "corpora" / name).open("rb") as file:
            file.seek(50_000)
            yield file.read(30_000).decode("utf-8", errors="ignore")


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "words", "none", *OWN_PATTERNS])
def test_every_pattern_gives_their_ids(
    pattern: str, gpt2: BPETokenizer, theirs: Theirs, shared: Path
) -> None:
    """The pattern alone differs, so one vocabulary serves all."""
    ours = BPETokenizer(gpt2.merges, pattern, byte_order=gpt2.byte_order)
    other = theirs(ours)

    @settings(max_examples=100, deadline=None)
    @given(text=any_text.map(settled))
    def same_ids(text: str) -> None:
        ids = other.encode(text).ids
        assert ours.encode(text, allowed_special="all") == ids
        assert other.decode(ids, skip_special_tokens=False) == text

    same_ids()
    for text in awkward_texts():
        assert ours.encode(text, allowed_special="all") == other.encode(text).ids
    if pattern != "none":
        for text in real_texts(shared):
            assert ours.encode(text) == other.encode(text).ids
    assert tokenizer_of_huggingface(huggingface_of_tokenizer(ours)) == ours


def test_a_published_vocabulary_with_gaps(theirs: Theirs, shared: Path) -> None:
    path = shared / "vocabularies/cl100k_base.tiktoken"
    ours = read_tiktoken(path, CL100K.pattern, CL100K.special_tokens)
    other = theirs(ours)
    for text in [*awkward_texts(), *real_texts(shared)]:
        marked = "<|endofprompt|>" + text
        assert ours.encode(marked, allowed_special="all") == other.encode(marked).ids
    for name, token_id in ours.special_tokens.items():
        assert other.token_to_id(name) == token_id
    assert tokenizer_of_huggingface(huggingface_of_tokenizer(ours)) == ours


def test_transformers_reads_what_is_written(tmp_path: Path, shared: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    special = {"<|endoftext|>": 320, "<é>": 300}
    trained = BPETokenizer.train(CORPUS, vocab_size=290, pattern="cl100k")
    ours = BPETokenizer(trained.merges, "cl100k", special)
    write_huggingface(ours, tmp_path / "tokenizer.json")
    other = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in [*awkward_texts(), *real_texts(shared)]:
        ids = ours.encode(text, allowed_special="all")
        assert other.encode(text) == ids
        assert other.decode(ids) == text
    # What it saves itself can be read again.
    other.save_pretrained(tmp_path / "saved")
    assert read_huggingface(tmp_path / "saved" / "tokenizer.json") == ours


def test_what_their_trainer_writes_can_be_read(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    theirs.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # Special tokens are numbered first there, and our bytes have to be: they come as added ones.
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    theirs.train_from_iterator(CORPUS * 3, trainer)
    theirs.add_special_tokens(["<|endoftext|>"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = read_huggingface(tmp_path / "tokenizer.json")
    assert ours.pattern == "gpt2"
    assert ours.special_tokens == {"<|endoftext|>": theirs.get_vocab_size() - 1}
    for text in awkward_texts():
        assert ours.encode(text, allowed_special="all") == theirs.encode(text).ids


SMALL = BPETokenizer([(97, 98), (256, 99), (98, 99)], "words", {"<|endoftext|>": 262})


def document(**model: Any) -> dict[str, Any]:
    """The small tokenizer's file, with other values inside its model."""
    small = json.loads(huggingface_of_tokenizer(SMALL))
    small["model"] |= model
    return small


def read(changed: dict[str, Any]) -> BPETokenizer:
    return tokenizer_of_huggingface(json.dumps(changed).encode())


def test_both_forms_of_merges_and_old_files() -> None:
    assert read(document(merges=[["a", "b"], ["ab", "c"], ["b", "c"]])) == SMALL
    old = document(continuing_subword_prefix="", end_of_word_suffix="", ignore_merges=True)
    for key in ("type", "byte_fallback"):
        del old["model"][key]
    old["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
    assert read(old) == SMALL
    assert read(old | {"post_processor": TEMPLATE}) == SMALL


def test_a_file_without_special_tokens_gets_one_behind_its_last_id() -> None:
    bare = document()
    bare["added_tokens"] = []
    del bare["model"]["vocab"]["<|endoftext|>"]
    assert read(bare).special_tokens == {"<|endoftext|>": 259}


def test_merges_listed_for_every_way_to_spell_a_token() -> None:
    """As in files made out of tiktoken's; only the merge that is ever applied is kept."""
    listed = document(merges=["a b", "a bc", "ab c", "b c"])
    with pytest.raises(TokenizerError, match=r"merges\[1\]'.*'bc' has the id 258"):
        read(listed)
    ids = {**document()["model"]["vocab"], "abcd": 259, "cd": 260, "<|endoftext|>": 262}
    both = document(merges=["a b", "ab c", "b c", "abc d", "a bcd", "c d"], vocab=ids)
    with pytest.raises(TokenizerError, match=r"merges\[4\]': 'bcd' is not in the vocabulary"):
        read(both)
    ids = {**document()["model"]["vocab"], "cd": 259, "abcd": 260, "<|endoftext|>": 262}
    both = document(merges=["a b", "ab c", "b c", "c d", "ab cd", "abc d"], vocab=ids)
    assert read(both).merges[-1] == (257, 100)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(both))
    for text in ("abcd", "abcdabcd", "bcd", "cdcd abcd"):
        assert read(both).encode(text) == theirs.encode(text).ids


def with_pre_tokenizer(value: Any) -> dict[str, Any]:
    return document() | {"pre_tokenizer": value}


def split(**changes: Any) -> dict[str, Any]:
    step = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    return with_pre_tokenizer({"type": "Sequence", "pretokenizers": [step | changes, byte_level]})


def added(**changes: Any) -> dict[str, Any]:
    small = document()
    return small | {"added_tokens": [small["added_tokens"][0] | changes]}


ABC = {"content": "abc", "id": 257}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {},
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def test_ways_to_cut_that_are_understood() -> None:
    assert read(split()).pattern == "words"
    assert read(split(behavior="Removed", invert=True)).pattern == "words"
    assert read(split(pattern={"Regex": r"\s+|\S"})).pattern == r"\s+|\S"
    assert read(split(pattern={"Regex": PUBLISHED["o200k"]})).pattern == "o200k"
    assert read(with_pre_tokenizer(BYTE_LEVEL)).pattern == "gpt2"
    assert read(with_pre_tokenizer(BYTE_LEVEL | {"use_regex": False})).pattern == "none"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (document() | {"version": "2.0"}, "'version': only \"1.0\" can be read"),
        (document() | {"normalizer": {"type": "NFC"}}, "'normalizer'.*it changes the text"),
        (document() | {"truncation": {"max_length": 5}}, "'truncation'.*shortened"),
        (document() | {"padding": {}}, "'padding'.*filled up"),
        (document() | {"surprise": 1}, "'surprise': is not known"),
        (document() | {"post_processor": {"type": "TemplateProcessing"}}, "around every text"),
        (document() | {"decoder": None}, "'decoder': only ByteLevel can be read, not None"),
        (document() | {"decoder": {"type": "WordPiece"}}, "'decoder'.*not 'WordPiece'"),
        (document() | {"model": 3}, "'model': an object"),
        (document(type="Unigram"), "'model.type'.*only byte-level BPE"),
        (document(dropout=0.1), "'model.dropout': only null.*not 0.1; .*by chance"),
        (document(unk_token="<unk>"), "'model.unk_token'.*no unknown text"),
        (document(byte_fallback=True), "'model.byte_fallback'"),
        (document(continuing_subword_prefix="##"), "'model.continuing_subword_prefix'.*'##'"),
        (document(end_of_word_suffix="</w>"), "'model.end_of_word_suffix'"),
        (document(cache=1), "'model.cache': is not known"),
        (document(vocab=[]), "'model.vocab': an object"),
        (document(merges={}), "'model.merges': a list"),
        (document(merges=["a b", "abc"]), r"'model.merges\[1\]'.*not 'abc'"),
        (document(merges=["a b", ["ab"]]), r"'model.merges\[1\]'.*not \['ab'\]"),
        (document(merges=["a b", ["ab", 3]]), r"'model.merges\[1\]'"),
        (document(merges=["a b", "ab  c"]), r"'model.merges\[1\]'"),
        (document(merges=["a b", "b c"]), r"merges\[1\]'.*whose id is 258 .* it is 257"),
        (document(merges=["a b", "ab é"]), r"merges\[1\]': makes 'abé', which is not in the voc"),
        (document(merges=["a b", "ab c"]), r"'model.vocab': 'bc' \(id 258\) is neither a byte nor"),
        (with_pre_tokenizer(None), "'pre_tokenizer': an object with a 'type'"),
        (with_pre_tokenizer({"type": "Whitespace"}), "'pre_tokenizer': .*not Whitespace"),
        (with_pre_tokenizer({"type": "Sequence", "pretokenizers": [3]}), "not Sequence of 3"),
        (
            with_pre_tokenizer({"type": "Sequence", "pretokenizers": [{"type": "Digits"}] * 3}),
            "not Sequence of Digits, Digits, Digits",
        ),
        (with_pre_tokenizer(BYTE_LEVEL | {"add_prefix_space": True}), "add_prefix_space': only fa"),
        (with_pre_tokenizer(BYTE_LEVEL | {"use_regex": "yes"}), "use_regex': true or false"),
        (with_pre_tokenizer(BYTE_LEVEL | {"more": 1}), "'pre_tokenizer.more': is not known"),
        (
            with_pre_tokenizer({"type": "Sequence", "pretokenizers": [BYTE_LEVEL, BYTE_LEVEL]}),
            r"pretokenizers\[0\]': Split is expected before ByteLevel",
        ),
        (split(type="Digits"), r"pretokenizers\[0\]': Split is expected .* not 'Digits'"),
        (split(pattern={"String": " "}), r"\.pattern': a Regex is expected"),
        (split(behavior="MergedWithNext"), r"\.behavior': 'Isolated' with invert=false"),
        (split(invert=True), r"\.behavior': .* with invert=True"),
        (split(behavior="Removed", invert=True, pattern={"Regex": "[ab]"}), r"\.behavior'"),
        (split(pattern={"Regex": r"\w+|."}), r"\.pattern\.Regex': character 0 .*'\\\\w\+\|\.'"),
        (split(more=1), r"pretokenizers\[0\]\.more': is not known"),
        (added(lstrip=True), r"'added_tokens\[0\]\.lstrip'.*white space before"),
        (added(single_word=True), r"'added_tokens\[0\]\.single_word'.*between words"),
        (added(special=False), r"'added_tokens\[0\]\.special'.*before the pattern"),
        (added(id="262"), r"'added_tokens\[0\]': needs a 'content'"),
        (added(id=261), r"\.id': '<\|endoftext\|>' has the id 261, but .* give it 262"),
        (added(content="<new>", id=300), r"'<new>' has the id 300, but .* give it 260"),
        (
            document()
            | {"added_tokens": [*document()["added_tokens"], *added(**ABC)["added_tokens"]]},
            "cannot be used: .*id 257 is not from 259",
        ),
        (
            document() | {"post_processor": TEMPLATE | {"special_tokens": {"<s>": {}}}},
            "'post_processor'.*not 'TemplateProcessing'",
        ),
        (document() | {"post_processor": TEMPLATE | {"single": []}}, "'post_processor'"),
        (document() | {"added_tokens": {}}, "'added_tokens': a list"),
        (document() | {"added_tokens": [1]}, r"'added_tokens\[0\]': an object"),
        (
            document(
                ignore_merges=True,
                vocab=document()["model"]["vocab"] | {"abcb": 259},
                merges=["a b", "ab c", "b c", "a bcb"],
            ),
            r"merges\[3\]'",
        ),
    ],
)
def test_what_cannot_be_read_exactly_is_refused_by_its_key(changed: Any, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        read(changed)


def test_ignore_merges_is_refused_where_it_would_change_an_id() -> None:
    """abc is made of a and bc, but the merges make ab first."""
    hidden = BPETokenizer([(97, 98), (98, 99), (97, 257)])
    written = json.loads(huggingface_of_tokenizer(hidden))
    assert read(written) == hidden
    written["model"]["ignore_merges"] = True
    with pytest.raises(TokenizerError, match=r"ignore_merges'.*258, 'abc'.* encode otherwise"):
        read(written)


# Patterns that both engines read alike.


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"\w+", r"character 0 of the pattern, '\\\\w\+': an escape"),
        (r"a\b", "character 1 .*an escape"),
        (r"(a)\1", "character 3 .*an escape"),
        (r"\p{Han}", "general categories"),
        (r"\pL", "general categories"),
        (r"\p{^L}", "general categories"),
        (r"a$|b", "character 1 .*ends a line in one engine"),
        (r"^a", "ends a line"),
        (r"\p{N}{1,3}+", "character 10 .*|repeated twice"),
        (r"a{2}?", "repeated twice"),
        (r"a**", "repeated twice"),
        (r"a{3,1}", "second number is below"),
        (r"a{,3}", "no {n}"),
        (r"a{99999}", "no {n}"),
        (r"(?i:ss)", "ignoring case"),
        (r"(?i)a", "kind of group"),
        (r"(?<=a)b", "kind of group"),
        (r"(?P<n>a)", "kind of group"),
        (r"(?>a)", "kind of group"),
        (r"(*FAIL)", "kind of group"),
        (r"(a", "character 0 .*nothing closes"),
        (r"a)", "character 1 .*nothing opened"),
        (r"[a", "class that nothing closes"),
        (r"[]a]", "empty class"),
        (r"[a&&b]", "meaning of its own"),
        (r"[a[b]]", "meaning of its own"),
        (r"[a-\d]", "meaning of its own"),
        (r"[-a]", "meaning of its own"),
        (r"*a", "repeats nothing"),
        (r"(?:a?)+", "repeats what can match an empty"),
        (r"(?!a)+b", "repeats what can match an empty"),
        (r"a?", "can match an empty text"),
        (r"a|", "can match an empty text"),
        (r"(?=a)", "can match an empty text"),
        ("", "can match an empty text"),
        ("a\\", "an escape"),
    ],
)
def test_what_engines_read_otherwise_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        check_shared(pattern)


def test_a_pattern_of_ones_own_that_cannot_be_written() -> None:
    tokenizer = BPETokenizer([], r"(?<=-)|[0-9]")
    with pytest.raises(TokenizerError, match=r"cannot be written for .*Oniguruma.*character 0"):
        huggingface_of_tokenizer(tokenizer)


parts = st.sampled_from(
    [r"a", r"b", r"ab?", r"\s", r"\S", r"[ab]", r"[^a\s]", r"\p{L}", r"\P{Lu}", r"\d", r".", r"\n",
     r"(?!a)", r"(?=b)", r"(?:ab|c)", r"(b)", r"'(?i:'s|'t|'re|'ve|'m|'ll|'d)", "c{2}", "é", "|"]
)  # fmt: skip
repeats = st.sampled_from(["", "", "", "+", "*", "?", "++", "*+", "?+", "+?", "*?", "??", "{1,2}"])
patterns = st.lists(st.tuples(parts, repeats).map("".join), min_size=1, max_size=5).map("".join)


@settings(max_examples=400, deadline=None)
@given(pattern=patterns, texts=st.lists(any_text.map(settled) | st.text("aAbc1 \n's"), max_size=5))
def test_what_is_not_refused_cuts_alike(pattern: str, texts: list[str]) -> None:
    try:
        check_shared(pattern)
        ours = splitter(pattern if not pattern.isalnum() else f"(?:{pattern})")
    except TokenizerError:
        return
    isolated = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    for text in texts:
        assert [piece for piece, _ in isolated.pre_tokenize_str(text)] == ours(text)


@given(pattern=st.text(r"ab\sp{L}N[]()?:=!*+,12|^$-", max_size=12))
def test_any_pattern_is_accepted_or_refused_in_words(pattern: str) -> None:
    try:
        check_shared(pattern)
    except TokenizerError:
        return
    tokenizers.Regex(pattern)
    splitter(f"(?:{pattern})")
