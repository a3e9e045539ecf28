"""One setting for every family: what it accepts, what it refuses, what it trains."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from hornbook.errors import TokenizerError
from hornbook.settings import Settings
from hornbook.tokenizers import (
    BPETokenizer,
    BPETokenizerConfig,
    ByteTokenizer,
    ByteTokenizerConfig,
    CharTokenizer,
    CharTokenizerConfig,
    Tokenizer,
    TokenizerConfig,
    WordTokenizer,
    WordTokenizerConfig,
    train_tokenizer,
)

ADAPTER: TypeAdapter[TokenizerConfig] = TypeAdapter(TokenizerConfig)


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("byte", ByteTokenizer),
        ("char", CharTokenizer),
        ("word", WordTokenizer),
        ("bpe", BPETokenizer),
    ],
)
def test_kind_chooses_the_family(kind: str, family: type[Tokenizer]) -> None:
    config = ADAPTER.validate_python({"kind": kind})
    assert config.kind == kind == family.kind
    assert list(config.conflicts()) == []
    tokenizer = train_tokenizer(config, iter(["to be or not to be"]))
    assert type(tokenizer) is family
    with pytest.raises(TokenizerError, match="the corpus is empty"):
        train_tokenizer(config, [""])
    with pytest.raises(TokenizerError, match=r"several texts, not one.*such as \[text\]"):
        train_tokenizer(config, "to be or not to be")


def test_the_defaults() -> None:
    assert CharTokenizerConfig().model_dump() == {
        "kind": "char",
        "vocab_size": 0,
        "min_frequency": 1,
        "unknown": "bytes",
        "vocabulary_from": "training",
    }
    assert WordTokenizerConfig().model_dump() == {
        "kind": "word",
        "vocab_size": 16384,
        "min_frequency": 1,
        "unknown": "bytes",
        "vocabulary_from": "training",
    }
    assert BPETokenizerConfig().model_dump() == {
        "kind": "bpe",
        "vocab_size": 4096,
        "pattern": "gpt2",
        "min_frequency": 2,
        "vocabulary_from": "training",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "bpe", "vocab_size": 256},
        {"kind": "bpe", "min_frequency": 0},
        {"kind": "char", "vocab_size": -1},
        {"kind": "char", "pattern": "gpt2"},
        {"kind": "word", "unknown": "ask"},
        {"kind": "word", "vocabulary_from": "elsewhere"},
        {"kind": "unigram"},
        {},
    ],
)
def test_settings_wrong_on_their_own(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(wrong)


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        (CharTokenizerConfig(vocab_size=260), ["vocab_size"]),
        (CharTokenizerConfig(vocab_size=261), []),
        (WordTokenizerConfig(vocab_size=4, unknown="token"), ["vocab_size"]),
        (WordTokenizerConfig(vocab_size=5, unknown="token"), []),
        (WordTokenizerConfig(vocab_size=0), []),
        (BPETokenizerConfig(pattern="(a"), ["pattern"]),
        (BPETokenizerConfig(pattern="gpt-2"), ["pattern"]),
        (BPETokenizerConfig(pattern=r"\w+"), []),
    ],
)
def test_settings_that_do_not_fit_together(config: Settings, keys: list[str]) -> None:
    assert [problem.key for problem in config.conflicts()] == keys


@pytest.mark.parametrize(
    "config",
    [ByteTokenizerConfig, CharTokenizerConfig, WordTokenizerConfig, BPETokenizerConfig],
)
def test_every_setting_explains_itself(config: type[BaseModel]) -> None:
    for name, field in config.model_fields.items():
        assert field.description, name
