"""Text to token ids and back, exactly, in four families.

In the order to read them:

    text            what counts as text
    base            what every tokenizer is
    special_tokens  ids that stand for a place, not for text
    tokenizer_file  tokenizer.json
    byte_tokenizer  one token a byte
    vocabulary      a list of texts, the most frequent first
    char_tokenizer  ... of characters
    patterns        where a text is cut before anything else
    word_tokenizer  ... of words
    bpe_reference   byte pair encoding, as on paper
    bpe             ... as a tokenizer
    families        all four behind one setting
    formats         the files of other tools, and vocabularies known by name
"""

from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.bpe import BPETokenizer, BPETokenizerConfig
from hornbook.tokenizers.byte_tokenizer import ByteTokenizer, ByteTokenizerConfig
from hornbook.tokenizers.char_tokenizer import CharTokenizer, CharTokenizerConfig
from hornbook.tokenizers.families import TokenizerConfig, train_tokenizer
from hornbook.tokenizers.formats.published import PUBLISHED_VOCABULARIES
from hornbook.tokenizers.word_tokenizer import WordTokenizer, WordTokenizerConfig

__all__ = [
    "PUBLISHED_VOCABULARIES",
    "BPETokenizer",
    "BPETokenizerConfig",
    "ByteTokenizer",
    "ByteTokenizerConfig",
    "CharTokenizer",
    "CharTokenizerConfig",
    "Tokenizer",
    "TokenizerConfig",
    "WordTokenizer",
    "WordTokenizerConfig",
    "train_tokenizer",
]
