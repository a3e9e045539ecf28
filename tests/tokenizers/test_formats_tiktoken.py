"""tiktoken's files: merges found again, the same bytes written, and the line of what is wrong."""

import base64
from pathlib import Path

import pytest
import tiktoken
from awkward_texts import AWKWARD, CORPUS, any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.bpe_reference import Pair, encode_word
from hornbook.tokenizers.formats.merge_recovery import MergeRecovery
from hornbook.tokenizers.formats.tiktoken_file import (
    ranks_of_tokenizer,
    read_tiktoken,
    tokenizer_of_ranks,
    write_tiktoken,
)
from hornbook.tokenizers.patterns import PUBLISHED

BYTES = [bytes([byte]) for byte in range(256)]
SPECIAL = {"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|endofprompt|>": 100276}


@settings(max_examples=500)
@given(tokens=st.lists(st.text("ab", min_size=2, max_size=9), unique=True, max_size=25))
def test_a_token_is_made_as_the_readable_twin_makes_it(tokens: list[str]) -> None:
    """Runs of few letters: overlaps and equal merges side by side on every page."""
    recovery = MergeRecovery(BYTES)
    ranks: dict[Pair, int] = {}
    for text in sorted(tokens, key=len):
        token = text.encode()
        expected = encode_word(token, ranks)
        merge = recovery.add(token)
        assert merge == (tuple(expected) if len(expected) == 2 else None)
        if merge is not None:
            ranks[merge] = 256 + len(ranks)


@given(texts=st.lists(st.text("abc ", min_size=1), min_size=1), size=st.integers(257, 300))
def test_every_trained_vocabulary_goes_there_and_back(texts: list[str], size: int) -> None:
    tokenizer = BPETokenizer.train(texts, vocab_size=size, pattern="none")
    assert tokenizer_of_ranks(ranks_of_tokenizer(tokenizer), "none") == tokenizer


@pytest.fixture(scope="module")
def cl100k(shared: Path) -> BPETokenizer:
    return read_tiktoken(shared / "vocabularies/cl100k_base.tiktoken", "cl100k", SPECIAL)


@pytest.fixture(scope="module")
def their_cl100k(shared: Path) -> tiktoken.Encoding:
    content = (shared / "vocabularies/cl100k_base.tiktoken").read_bytes()
    pairs = (line.split() for line in content.splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding(
        "cl100k", pat_str=PUBLISHED["cl100k"], mergeable_ranks=ranks, special_tokens=SPECIAL
    )


def test_cl100k_has_the_ids_of_tiktoken(
    cl100k: BPETokenizer, their_cl100k: tiktoken.Encoding, shared: Path
) -> None:
    @settings(max_examples=200, deadline=None)
    @given(text=any_text, name=st.sampled_from(sorted(SPECIAL)))
    def same_ids(text: str, name: str) -> None:
        marked = text + name + text
        assert cl100k.encode(marked) == their_cl100k.encode_ordinary(marked)
        ids = their_cl100k.encode(marked, allowed_special="all")
        assert cl100k.encode(marked, allowed_special="all") == ids
        assert cl100k.decode(ids) == their_cl100k.decode(ids) == marked

    same_ids()
    assert cl100k.vocab_size == their_cl100k.n_vocab == 100277
    for name in ("akjv.txt", "chinese-poetry.jsonl.txt", "verses-46-languages.xml.txt"):
        content = (shared / "corpora" / name).read_bytes()
        text = content[len(content) // 3 :][:60_000].decode("utf-8", errors="ignore")
        assert cl100k.encode(text) == their_cl100k.encode_ordinary(text)


def test_ids_between_the_special_tokens_are_unused(cl100k: BPETokenizer) -> None:
    for token_id in (100256, 100259, 100275):
        with pytest.raises(TokenizerError, match=rf"ids\[1\]: id {token_id} is unused"):
            cl100k.decode([9906, token_id])


def test_the_published_file_comes_out_byte_for_byte(
    cl100k: BPETokenizer, shared: Path, tmp_path: Path
) -> None:
    write_tiktoken(cl100k, tmp_path / "again.tiktoken")
    published = (shared / "vocabularies/cl100k_base.tiktoken").read_bytes()
    assert (tmp_path / "again.tiktoken").read_bytes() == published


def test_lines_in_any_order_and_with_any_line_end() -> None:
    tokenizer = BPETokenizer.train(CORPUS, vocab_size=290)
    lines = ranks_of_tokenizer(tokenizer).splitlines()
    for content in (b"\r\n".join(lines), b"\n".join(lines[::-1]) + b"\n"):
        again = tokenizer_of_ranks(content, "gpt2")
        assert again == tokenizer
        assert [again.encode(text) for text in AWKWARD] == tokenizer.encode(AWKWARD)


def changed(number: int, line: bytes) -> bytes:
    """The lines of a small vocabulary with one of them replaced, counted from 1."""
    lines = ranks_of_tokenizer(BPETokenizer([(117, 103), (104, 256)])).splitlines()
    lines[number - 1 : number] = [line]
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(3, b"A 2"), r"line 3: 'A' is no base64"),
        (changed(3, b"A!== 2"), r"line 3: 'A!==' is no base64"),
        (changed(3, b"Ag=="), r"line 3: .*neither of them empty, not 1 field: 'Ag=='"),
        (changed(3, b" 2"), r"line 3: .*not 1 field: ' 2'"),
        (changed(3, b"Ag== 2 2"), r"line 3: .*not 3 fields"),
        (changed(3, b""), r"line 3: .*not 0 fields"),
        (changed(3, b"Ag== two"), r"line 3: the rank is 'two'"),
        (changed(3, b"Ag== -2"), r"line 3: the rank is '-2'"),
        (changed(3, b"Ag== 2.0"), r"line 3: the rank is '2.0'"),
        (changed(3, b"Ag== " + b"9" * 5000), r"line 3: the rank is '9999.*at most 9 digits"),
        (changed(3, b"Ag== 1"), r"line 3: rank 1 is that of line 2 already"),
        (changed(3, b"AQ== 2"), r"line 3: the token '\\x01' is that of line 2 already"),
        (changed(258, b"aHVn 300"), r"line 258: rank 257 is missing before rank 300"),
        (changed(3, b"eHk= 2"), r"line 3: 'xy' is among the first 256 .*; byte 0x02 is not"),
        (changed(258, b"eHl6 257"), r"line 258: no merge of earlier tokens makes 'xyz' \(rank 257"),
        (changed(258, b"\xff\xfe 257"), r"line 258: .* is no base64"),
        (b"AA== 0\n", "1 tokens are no byte-level vocabulary.*byte 0x01 is missing"),
        (b"", "0 tokens are no byte-level vocabulary.*byte 0x00 is missing"),
        (b"\x00" * 10, "line 1: "),
    ],
)
def test_what_is_wrong_is_named_by_its_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.tiktoken"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=message) as caught:
        read_tiktoken(path, "gpt2")
    assert str(path) in str(caught.value)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(content: bytes) -> None:
    with pytest.raises(TokenizerError):
        tokenizer_of_ranks(content, "gpt2")


def test_merges_that_the_bytes_do_not_tell_are_not_written() -> None:
    """abc is made of a and bc here, but its bytes alone become ab and c."""
    tokenizer = BPETokenizer([(97, 98), (98, 99), (97, 257)])
    with pytest.raises(TokenizerError, match=r"merge 2, \(97, 257\).* bytes of 'abc': \(256, 99\)"):
        ranks_of_tokenizer(tokenizer)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"none\.tiktoken: cannot be read: No such file"):
        read_tiktoken(tmp_path / "none.tiktoken", "gpt2")
