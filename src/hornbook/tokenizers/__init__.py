"""Text to token ids and back, exactly, in four families.

In the order to read them:

    base              what every tokenizer is
    text              what counts as text
    streams           text that comes in pieces
    spelling_out      from ids to bytes, and to text as it comes
    special_tokens    ids that stand for a place, not for text
    tokenizer_file    tokenizer.json

    byte_tokenizer    one token a byte
    vocabulary        a list of texts, the most frequent first
    char_tokenizer    ... of characters
    unicode_classes   letters, digits, white space: one stated version of Unicode
    patterns          where a text is cut before anything else
    word_tokenizer    ... of words

    bpe_reference     byte pair encoding, as on paper: the readable twin of all that is fast
    counting          the first phase of training: how often each pre-token occurs
    byte_sort         sorting millions of pre-tokens
    counts            what comes of it, and can be kept, sent and put together
    counts_file       ... on disk
    cluster_counting  counting on many machines
    bpe_training      the other phases: merges from counts
    bpe_encoder       merges applied to text
    engine            all three again, as kernels
    bpe               the tokenizer that has the merges

    explanation       how one text becomes tokens, step by step
    speed             how fast one is, and how long a corpus would take
    comparison        several on the same text
    families          all four behind one setting
    formats           the files of other tools, and vocabularies known by name
"""

from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.bpe import BPETokenizer, BPETokenizerConfig
from hornbook.tokenizers.byte_tokenizer import ByteTokenizer, ByteTokenizerConfig
from hornbook.tokenizers.char_tokenizer import CharTokenizer, CharTokenizerConfig
from hornbook.tokenizers.counting import count_pre_tokens
from hornbook.tokenizers.counts import PreTokenCounts
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
    "PreTokenCounts",
    "Tokenizer",
    "TokenizerConfig",
    "WordTokenizer",
    "WordTokenizerConfig",
    "count_pre_tokens",
    "train_tokenizer",
]
