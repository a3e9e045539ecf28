"""BPETokenizer: its training, its errors, and the ids of published vocabularies."""

import base64
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest
import tiktoken
from awkward_texts import AWKWARD, CORPUS, any_text
from hypothesis import given, settings

from hornbook.errors import ConfigError, TokenizerError
from hornbook.listener import Listener, Progress
from hornbook.tokenizers import BPETokenizer, BPETokenizerConfig, Tokenizer, train_tokenizer
from hornbook.tokenizers.bpe_encoder import LONG_WORD
from hornbook.tokenizers.bpe_reference import encode_word
from hornbook.tokenizers.patterns import PUBLISHED


class Watching(Listener):
    def __init__(self) -> None:
        self.notices: list[str] = []
        self.tasks: dict[str, int] = {}

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        tasks = self.tasks
        tasks[title] = 0

        class Counting(Progress):
            def advance(self, amount: int) -> None:
                tasks[title] += amount

        return Counting()


def test_training_stops_at_the_vocabulary_size() -> None:
    watching = Watching()
    tokenizer = BPETokenizer.train(iter(CORPUS), 270, listener=watching)
    assert tokenizer.vocab_size == 270
    assert len(tokenizer.merges) == 13
    assert tokenizer.special_tokens["<|endoftext|>"] == 269
    assert tokenizer.start_id == tokenizer.end_id == tokenizer.pad_id == 269
    assert watching.notices == []
    size = sum(len(text.encode()) for text in CORPUS)
    assert watching.tasks == {"counting pre-tokens": size, "merging": 13}


def test_training_says_when_it_stops_early() -> None:
    watching = Watching()
    tokenizer = BPETokenizer.train(["ab ab"], pattern="words", listener=watching)
    assert tokenizer.merges == ((97, 98),)
    assert watching.notices == [
        "the vocabulary has 258 entries instead of 4,096: no two tokens stand side by side "
        "2 times any more"
    ]


def test_training_is_the_same_every_time(tmp_path: Path) -> None:
    files = []
    for number, texts in enumerate([CORPUS, CORPUS, CORPUS[::-1]]):
        BPETokenizer.train(texts, 320).save(tmp_path / f"{number}.json")
        files.append((tmp_path / f"{number}.json").read_bytes())
    assert files[0] == files[1] == files[2]


def test_no_merge_crosses_a_pre_token() -> None:
    tokenizer = BPETokenizer.train(["a1a1a1a1"], pattern="words")
    assert tokenizer.merges == ()
    assert BPETokenizer.train(["a1a1a1a1"], pattern="none").merges != ()


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_an_empty_corpus(texts: list[str]) -> None:
    with pytest.raises(TokenizerError, match="the corpus is empty"):
        BPETokenizer.train(texts)


def test_a_vocabulary_too_small_for_its_special_tokens() -> None:
    assert BPETokenizer.train(["abab"], 257).vocab_size == 257
    with pytest.raises(TokenizerError, match=r"vocab_size=257 is too small.*need 258"):
        BPETokenizer.train(["abab"], 257, special_tokens=["<|a|>", "<|b|>"])


def test_settings_that_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match=r"pattern: pattern '\(a' is no regular expression"):
        train_tokenizer(BPETokenizerConfig(pattern="(a"), ["abab"])
    with pytest.raises(TokenizerError, match=r"pattern '\(a' is no regular expression"):
        BPETokenizer.train(["abab"], pattern="(a")
    with pytest.raises(TokenizerError, match=r"min_frequency=0: give 1 or more"):
        BPETokenizer.train(["abab"], min_frequency=0)


def test_a_special_token_in_the_corpus_is_never_merged() -> None:
    tokenizer = BPETokenizer.train(["ab<|endoftext|>" * 9], pattern="none")
    assert tokenizer.merges == ((97, 98),)
    ids = tokenizer.encode("<|endoftext|>")
    assert tokenizer.end_id not in ids
    assert tokenizer.decode(ids) == "<|endoftext|>"


def test_long_words_and_short_ones_are_encoded_alike() -> None:
    tokenizer = BPETokenizer.train(["abcab" * 50], pattern="none")
    ranks = {pair: 256 + number for number, pair in enumerate(tokenizer.merges)}
    for length in (1, LONG_WORD - 1, LONG_WORD, LONG_WORD + 1, 1000):
        for text in ("abcab" * length)[:length], "é" * length:
            content = text.encode()
            assert tokenizer.encode(text) == encode_word(content, ranks)
            assert tokenizer.encode(text) == tokenizer.encode(text)  # now remembered


# Published vocabularies.


def gpt2_bytes() -> dict[str, int]:
    """GPT-2 writes bytes as characters: printable ones as themselves, others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + number): byte for number, byte in enumerate(others)
    }


@pytest.fixture(scope="module")
def gpt2(shared: Path) -> tuple[BPETokenizer, tiktoken.Encoding]:
    byte_of = gpt2_bytes()
    ids = json.loads((shared / "vocabularies/gpt2-vocab.json").read_text(encoding="utf-8"))
    end = ids.pop("<|endoftext|>")
    lines = (shared / "vocabularies/gpt2-merges.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    merges = [(ids[left], ids[right]) for left, right in pairs]
    ours = BPETokenizer(merges, "gpt2", ["<|endoftext|>"], list(byte_of.values()))
    ranks = {bytes(byte_of[sign] for sign in token): rank for token, rank in ids.items()}
    theirs = tiktoken.Encoding(
        "gpt2",
        pat_str=PUBLISHED["gpt2"],
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": end},
    )
    return ours, theirs


def test_gpt2_has_every_id_of_the_published_vocabulary(
    gpt2: tuple[BPETokenizer, tiktoken.Encoding],
) -> None:
    ours, theirs = gpt2
    assert ours.vocab_size == theirs.n_vocab == 50257
    for token_id in range(50257):
        assert ours.token_bytes(token_id) == theirs.decode_single_token_bytes(token_id)


def test_gpt2_gives_the_ids_of_tiktoken(
    gpt2: tuple[BPETokenizer, tiktoken.Encoding], shared: Path
) -> None:
    ours, theirs = gpt2

    @settings(max_examples=300, deadline=None)
    @given(text=any_text)
    def same_ids(text: str) -> None:
        assert ours.encode(text) == theirs.encode_ordinary(text)
        assert ours.encode(text, allowed_special="all") == theirs.encode(
            text, allowed_special="all"
        )
        assert ours.decode(ours.encode(text, allowed_special="all")) == text

    same_ids()
    for text in real_texts(shared):
        assert ours.encode(text) == theirs.encode_ordinary(text)


def test_gpt2_survives_its_file(
    gpt2: tuple[BPETokenizer, tiktoken.Encoding], tmp_path: Path
) -> None:
    ours, theirs = gpt2
    ours.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded == ours
    assert loaded.encode("Gödel's\tproof") == theirs.encode("Gödel's\tproof")


@pytest.mark.parametrize("name", ["cl100k", "o200k"])
def test_patterns_give_the_ids_of_tiktoken(name: str, shared: Path) -> None:
    """The first 20,000 ranks of a published vocabulary, the merges found again from its bytes."""
    path = shared / f"vocabularies/{name}_base.tiktoken"
    ranks: dict[bytes, int] = {}
    with path.open("rb") as file:
        for line in islice(file, 20_000):
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
    tokens = list(ranks)
    merges = found_merges(tokens, ranks)
    ours = BPETokenizer(merges, name, byte_order=[token[0] for token in tokens[:256]])
    theirs = tiktoken.Encoding(
        name, pat_str=PUBLISHED[name], mergeable_ranks=ranks, special_tokens={}
    )

    @settings(max_examples=300, deadline=None)
    @given(text=any_text)
    def same_ids(text: str) -> None:
        assert ours.encode(text) == theirs.encode_ordinary(text)

    same_ids()
    for text in [*AWKWARD, *real_texts(shared)]:
        assert ours.encode(text) == theirs.encode_ordinary(text)


def found_merges(tokens: list[bytes], ranks: Mapping[bytes, int]) -> list[tuple[int, int]]:
    """The last two parts of a token, encoded with the tokens before it, are its merge."""
    id_of_byte = bytes(ranks[bytes([byte])] for byte in range(256))
    merges: dict[tuple[int, int], int] = {}
    for token in tokens[256:]:
        left, right = encode_word(token.translate(id_of_byte), merges)
        merges[left, right] = ranks[token]
    return list(merges)


def real_texts(shared: Path) -> list[str]:
    names = ["tinyshakespeare.txt", "verses-46-languages.xml.txt", "chinese-poetry.jsonl.txt"]
    texts = []
    for name in names:
        with (shared / "corpora" / name).open("rb") as file:
            middle = len(file.read()) // 2
            file.seek(middle)
            texts.append(file.read(100_000).decode("utf-8", errors="ignore"))
    return texts
