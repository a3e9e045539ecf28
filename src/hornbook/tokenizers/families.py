"""The four families behind one setting and one call.

    config = BPETokenizerConfig(vocab_size=4096)
    tokenizer = train_tokenizer(config, (document.text for document in corpus))

Whoever holds a ``Tokenizer`` need not know its family.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

from pydantic import Field

from hornbook.errors import ConfigError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.bpe import BPETokenizer, BPETokenizerConfig
from hornbook.tokenizers.byte_tokenizer import ByteTokenizer, ByteTokenizerConfig
from hornbook.tokenizers.char_tokenizer import CharTokenizer, CharTokenizerConfig
from hornbook.tokenizers.word_tokenizer import WordTokenizer, WordTokenizerConfig

TokenizerConfig: TypeAlias = Annotated[
    ByteTokenizerConfig | CharTokenizerConfig | WordTokenizerConfig | BPETokenizerConfig,
    Field(discriminator="kind"),
]
"""The settings of any family; ``kind`` says which."""


def train_tokenizer(
    config: TokenizerConfig, texts: Iterable[str], *, listener: Listener = SILENT
) -> Tokenizer:
    """Train the family that ``config`` asks for.

    Args:
        config: the family's settings.
        texts: documents or parts of them, read once; a part ends what is counted as a word.
        listener: is told of progress and of anything that was cut.

    >>> train_tokenizer(CharTokenizerConfig(unknown="token"), ["to be"]).vocab_size
    9

    Raises:
        TokenizerError: the corpus is empty, or gives no vocabulary with these settings.
        ConfigError: settings that do not fit together.
    """
    match config:
        case ByteTokenizerConfig():
            return ByteTokenizer.train(texts, config, listener=listener)
        case CharTokenizerConfig():
            return CharTokenizer.train(texts, config, listener=listener)
        case WordTokenizerConfig():
            return WordTokenizer.train(texts, config, listener=listener)
        case BPETokenizerConfig():
            if problems := list(config.conflicts()):
                raise ConfigError(problems)
            return BPETokenizer.train(
                texts,
                config.vocab_size,
                config.pattern,
                min_frequency=config.min_frequency,
                listener=listener,
            )
