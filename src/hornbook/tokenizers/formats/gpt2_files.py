"""GPT-2's two files: ``vocab.json`` with the ids, ``merges.txt`` with the merges in their order.

    vocab.json   {"!": 0, "\\"": 1, ..., "Ġt": 256, "Ġa": 257, ..., "<|endoftext|>": 50256}
    merges.txt   #version: 0.2
                 Ġ t
                 Ġ a

Tokens are written in ``byte_alphabet``. Entries of the vocabulary that no merge makes are special
tokens, unless they look like a token whose merge is missing, as in a file that was cut short. The
files do not hold the pattern.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hornbook.durable import write_durably
from hornbook.errors import TokenizerError
from hornbook.tokenizers.bpe import BPETokenizer
from hornbook.tokenizers.formats.files import json_object, read_file, utf8_text
from hornbook.tokenizers.formats.listed_merges import (
    ids_by_name,
    merge_names,
    vocabulary_of_lists,
)
from hornbook.tokenizers.special_tokens import END_OF_TEXT

VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"

_VERSION = "#version"
_BRACKETS = (("<", ">"), ("[", "]"))


def read_gpt2(vocabulary: Path, merges: Path, pattern: str = "gpt2") -> BPETokenizer:
    """Read a tokenizer from a ``vocab.json`` and its ``merges.txt``; see ``tokenizer_of_gpt2``.

    Raises:
        TokenizerError: a file cannot be read, or as ``tokenizer_of_gpt2``.
    """
    return tokenizer_of_gpt2(
        read_file(vocabulary), read_file(merges), pattern, (str(vocabulary), str(merges))
    )


def write_gpt2(tokenizer: BPETokenizer, folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt`` into a folder, which is made if it is not there.

    Raises:
        TokenizerError: as ``gpt2_of_tokenizer``.
        OSError: the place cannot be written.
    """
    vocabulary, merges = gpt2_of_tokenizer(tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / VOCABULARY_FILE, vocabulary)
    write_durably(folder / MERGES_FILE, merges)


def tokenizer_of_gpt2(
    vocabulary: bytes,
    merges: bytes,
    pattern: str = "gpt2",
    sources: tuple[str, str] = (VOCABULARY_FILE, MERGES_FILE),
) -> BPETokenizer:
    """Build the tokenizer that the two files hold.

    Args:
        vocabulary: a JSON object, the id of each token.
        merges: a merge a line, two tokens with a space between them.
        pattern: what cuts a text before merging; the files do not say it.
        sources: what errors call the two.

    >>> files = gpt2_of_tokenizer(BPETokenizer([(117, 103), (104, 256)]))
    >>> tokenizer_of_gpt2(*files).encode("hugs")
    [257, 115]

    Raises:
        TokenizerError: a file is damaged or cut short, or the two do not fit together; names the
            line of the merge, or the entry of the vocabulary.
    """
    ids = json_object(vocabulary, sources[0])
    pairs, lines = _pairs(merges, sources[1])
    listed = vocabulary_of_lists(
        ids, pairs, sources[0], lambda number: f"{sources[1]}, line {lines[number]}"
    )
    _check_special_tokens(listed.others, ids, sources)
    try:
        return BPETokenizer(
            listed.merges, pattern, listed.others or (END_OF_TEXT,), listed.byte_order
        )
    except TokenizerError as error:
        raise TokenizerError(
            f"{sources[0]}: its entries that no merge of {sources[1]} makes are special tokens, "
            f"but {error}"
        ) from None


def gpt2_of_tokenizer(tokenizer: BPETokenizer) -> tuple[bytes, bytes]:
    r"""Return the content of ``vocab.json`` and of ``merges.txt``, as GPT-2's own were written.

    >>> vocabulary, merges = gpt2_of_tokenizer(BPETokenizer([(32, 97)]))
    >>> vocabulary[-37:].decode(), merges.decode()
    ('"\\u0120a": 256, "<|endoftext|>": 257}', '#version: 0.2\nĠ a\n')

    Raises:
        TokenizerError: a special token's name is how the alphabet writes another token.
    """
    table = json.dumps(ids_by_name(tokenizer))
    lines = [f"{_VERSION}: 0.2", *(f"{left} {right}" for left, right in merge_names(tokenizer))]
    return table.encode(), ("\n".join(lines) + "\n").encode()


def _pairs(merges: bytes, source: str) -> tuple[list[tuple[str, str]], list[int]]:
    """Return the two tokens of each merge, and the line it stands on."""
    pairs: list[tuple[str, str]] = []
    lines: list[int] = []
    # Not splitlines: it would also cut at characters that are no line ends in such a file.
    for number, line in enumerate(utf8_text(merges, source).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith(_VERSION)):
            continue
        fields = line.split(" ")
        if len(fields) != 2 or not all(fields):
            raise TokenizerError(
                f"{source}, line {number}: two tokens with one space between them are expected, "
                f"not {line[:60]!r}"
            )
        pairs.append((fields[0], fields[1]))
        lines.append(number)
    return pairs, lines


def _check_special_tokens(
    others: Mapping[str, int], ids: Mapping[str, int], sources: tuple[str, str]
) -> None:
    """Refuse entries that no merge makes, if two tokens spell them and no brackets mark them."""
    for name, token_id in others.items():
        if (name[:1], name[-1:]) in _BRACKETS:
            continue
        for cut in range(1, len(name)):
            if name[:cut] in ids and name[cut:] in ids:
                raise TokenizerError(
                    f"{sources[0]}: no line of {sources[1]} makes {name!r} (id {token_id}), though "
                    f"{name[:cut]!r} and {name[cut:]!r} spell it; was the file of merges cut "
                    "short? (Special tokens stand in <...> or [...], or cannot be spelled so.)"
                )
