"""GPT-2's vocab.json and merges.txt: the published files, and files that do not fit together."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from awkward_texts import AWKWARD, CORPUS
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.formats.byte_alphabet import byte_alphabet, written
from hornbook.tokenizers.formats.gpt2_files import (
    gpt2_of_tokenizer,
    read_gpt2,
    tokenizer_of_gpt2,
    write_gpt2,
)

SMALL = BPETokenizer([(117, 103), (104, 256)], special_tokens={"<|endoftext|>": 300, "<|a|>": 260})


def test_the_alphabet_is_that_of_the_tokenizers_library() -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    assert sorted(byte_alphabet().values()) == sorted(ByteLevel.alphabet())
    splitting = ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(0x20, 0x800)))
    assert splitting.pre_tokenize_str(text)[0][0] == written(text.encode())


@pytest.fixture(scope="module")
def published(shared: Path) -> tuple[Path, Path]:
    folder = shared / "vocabularies"
    return folder / "gpt2-vocab.json", folder / "gpt2-merges.txt"


def test_the_published_files(published: tuple[Path, Path], tmp_path: Path) -> None:
    tokenizer = read_gpt2(*published)
    assert tokenizer.vocab_size == 50257
    assert tokenizer.special_tokens == {"<|endoftext|>": 50256}
    assert tokenizer.encode("Hello world") == [15496, 995]
    write_gpt2(tokenizer, tmp_path / "gpt2")
    vocabulary, merges = tmp_path / "gpt2/vocab.json", tmp_path / "gpt2/merges.txt"
    assert vocabulary.read_bytes() == published[0].read_bytes()
    # The checksum that tiktoken knows of the merges as first published, with their first line.
    first_published = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
    assert hashlib.sha256(merges.read_bytes()).hexdigest() == first_published
    assert read_gpt2(vocabulary, merges) == tokenizer


def test_a_trained_vocabulary_goes_there_and_back(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(CORPUS, vocab_size=300, special_tokens=["<|endoftext|>", "<é>"])
    write_gpt2(tokenizer, tmp_path)
    again = read_gpt2(tmp_path / "vocab.json", tmp_path / "merges.txt")
    assert again == tokenizer
    assert again.encode(AWKWARD) == tokenizer.encode(AWKWARD)


def test_the_tokenizers_library_reads_what_is_written(tmp_path: Path) -> None:
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = BPETokenizer.train(CORPUS, vocab_size=300)
    write_gpt2(tokenizer, tmp_path)
    theirs = ByteLevelBPETokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    for text in [*CORPUS, *AWKWARD]:
        if text != "<|endoftext|>":
            assert theirs.encode(text).ids == tokenizer.encode(text)


def test_special_tokens_with_gaps_and_none() -> None:
    assert tokenizer_of_gpt2(*gpt2_of_tokenizer(SMALL)) == SMALL
    vocabulary = {name: i for i, name in enumerate([*byte_alphabet().values(), "ug"])}
    plain = tokenizer_of_gpt2(json.dumps(vocabulary).encode(), b"u g\r\n\n")
    assert plain.special_tokens == {"<|endoftext|>": 257}
    assert plain.encode("ug") == [256]


def test_a_merge_whose_first_token_begins_with_a_hash() -> None:
    tokenizer = BPETokenizer([(ord("#"), ord("v"))])
    vocabulary, merges = gpt2_of_tokenizer(tokenizer)
    assert merges.decode().splitlines() == ["#version: 0.2", "# v"]
    for lines in (merges, b"# v\n"):
        assert tokenizer_of_gpt2(vocabulary, lines) == tokenizer


def with_ids(**changes: Any) -> bytes:
    """The small vocabulary with other ids; None takes an entry out."""
    ids = json.loads(gpt2_of_tokenizer(SMALL)[0]) | changes
    return json.dumps({name: i for name, i in ids.items() if i is not None}).encode()


GOOD = gpt2_of_tokenizer(SMALL)[0]


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        (GOOD, b"#version: 0.2\nu g\nhug\n", r"merges\.txt, line 3: two tokens.*not 'hug'"),
        (GOOD, b"u g\nh u g\n", r"merges\.txt, line 2: two tokens"),
        (GOOD, b"u g\nh  ug\n", r"merges\.txt, line 2: two tokens"),
        (GOOD, b" ug\n", r"merges\.txt, line 1: two tokens"),
        (GOOD, b"u g\n#version: 0.2\n", r"line 2: '#version:' is not in the vocabulary"),
        (GOOD, b"u g\nx y\n", r"merges\.txt, line 2: makes 'xy', which is not in the vocabulary"),
        (GOOD, b"u g\nxyz y\n", r"merges\.txt, line 2: 'xyz' is not in the vocabulary"),
        (GOOD, b"h ug\nu g\n", r"line 1: makes 'hug', whose id is 257.*order of the merges it is"),
        (GOOD, b"u g\nu g\nh ug\n" * 2, r"line 4: makes 'ug', whose id is 256 .* it is 258"),
        (GOOD, b"u g\n\xff\n", r"merges\.txt, line 2: byte 4 of the file, 0xff, is no UTF-8"),
        (
            GOOD,
            b"u g\n",
            r"no line of merges\.txt makes 'hug' \(id 257\), though 'h' and 'ug' spell",
        ),
        (with_ids(**{"<|a|>": 3000000000}), b"u g\nh ug\n", "are special tokens, but .*'<\\|a"),
        (with_ids(u=None), b"", r"vocab\.json: byte 0x75, written 'u', is not in the vocabulary"),
        (with_ids(u=500), b"", r"vocab\.json: byte 0x75, written 'u', has the id 500"),
        (with_ids(ug=7), b"", r"vocab\.json: id 7 is that of .* and of 'ug'"),
        (with_ids(ug="256"), b"", r"the id of 'ug' is '256', not a whole number"),
        (with_ids(ug=True), b"", r"the id of 'ug' is True"),
        (with_ids(ug=-1), b"", r"the id of 'ug' is -1"),
        (with_ids(ug=1.5), b"", r"the id of 'ug' is 1.5"),
        (b"", b"", r"vocab\.json: no JSON at line 1, column 1"),
        (b'{"a": 1,\n "b" 2}', b"", r"vocab\.json: no JSON at line 2, column 6"),
        (b"[1]", b"", r"vocab\.json: a JSON object is expected"),
        (b'{"a": 1, "a": 2}', b"", r"vocab\.json: key 'a' stands twice"),
        (b'{"a":\n"\xff"}', b"", r"vocab\.json, line 2: byte 7 of the file, 0xff"),
        (b"[" * 100_000, b"", r"vocab\.json: "),
        (b'{"a": ' + b"9" * 5000 + b"}", b"", r"vocab\.json: "),
    ],
)
def test_what_is_wrong_is_named(vocabulary: bytes, merges: bytes, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        tokenizer_of_gpt2(vocabulary, merges)


def test_a_token_must_be_made_before_it_is_used() -> None:
    ids = json.loads(GOOD) | {"hug": 256, "ug": 257}
    with pytest.raises(TokenizerError, match=r"line 1: 'ug' has the id 257 and is not made before"):
        tokenizer_of_gpt2(json.dumps(ids).encode(), b"h ug\nu g\n")


def test_special_tokens_written_like_other_tokens_are_not_written() -> None:
    tokenizer = BPETokenizer([(32, 97)], special_tokens=["Ġa"])
    with pytest.raises(TokenizerError, match=r"special token 'Ġa' is written like token 256"):
        gpt2_of_tokenizer(tokenizer)


@given(merges=st.binary(max_size=60))
def test_any_merges_are_read_or_refused_in_words(merges: bytes) -> None:
    try:
        tokenizer = tokenizer_of_gpt2(with_ids(hug=None, ug=None, **{"<|a|>": 256}), merges)
    except TokenizerError:
        return
    assert tokenizer.merges == ()
