"""A vocabulary as a table of names with ids and a list of merges, both in GPT-2's alphabet.

GPT-2 keeps the two in two files, Hugging Face in one. A merge's number in the list says when it
is applied, and the table says what id its token has. Here the two are one: the token of merge
``i`` has the id ``256 + i``. So a list in any other order is refused.

Some lists name a token several times, once for every two tokens that spell it (those made out of
tiktoken's files do). Only one of these merges can ever be applied; it is found again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hornbook.errors import TokenizerError
from hornbook.tokenizers.bpe import BPETokenizer, merged_tokens, spelling
from hornbook.tokenizers.bpe_reference import Pair
from hornbook.tokenizers.formats.byte_alphabet import byte_alphabet, written
from hornbook.tokenizers.formats.merge_recovery import MergeRecovery


@dataclass(frozen=True, slots=True)
class ListedVocabulary:
    """What such a table and list hold.

    Attributes:
        byte_order: the byte of each id from 0 to 255.
        merges: pairs of ids; merge ``i`` makes the token ``256 + i``.
        others: the ids of all entries that are neither a byte nor made by a merge.
    """

    byte_order: tuple[int, ...]
    merges: tuple[Pair, ...]
    others: Mapping[str, int]


def vocabulary_of_lists(
    ids: Mapping[str, Any],
    merges: Sequence[tuple[str, str]],
    source: str,
    place: Callable[[int], str],
) -> ListedVocabulary:
    """Check a table of ids and a list of merges against each other and return what they hold.

    Args:
        ids: the id of every token, as the file gave it.
        merges: the two names of each merge.
        source: what errors call the table.
        place: what errors call merge number ``i``, file and line.

    >>> ids = {character: byte for byte, character in byte_alphabet().items()}
    >>> ids |= {"ug": 256, "hug": 257, "<end>": 258}
    >>> listed = vocabulary_of_lists(ids, [("u", "g"), ("h", "ug")], "vocab", str)
    >>> listed.merges, listed.others
    (((117, 103), (104, 256)), {'<end>': 258})

    Raises:
        TokenizerError: an id is no whole number or is there twice, a byte is missing, a merge
            names a token that is unknown or made later, its token is missing or has another id.
    """
    _check_ids(ids, source)
    byte_order = _byte_order(ids, source)
    known = {ids[character] for character in byte_alphabet().values()}
    pairs: list[list[Pair]] = []
    made: set[str] = set()
    for number, (left, right) in enumerate(merges):
        new_id = 256 + len(pairs)
        for part in (left, right):
            if part not in ids:
                raise TokenizerError(
                    f"{place(number)}: {part!r} is not in the vocabulary ({source})"
                )
        token = left + right
        token_id = ids.get(token)
        if token_id is None:
            raise TokenizerError(
                f"{place(number)}: makes {token!r}, which is not in the vocabulary ({source})"
            )
        again = token_id == new_id - 1 and bool(pairs)
        if token_id != new_id and not again:
            raise TokenizerError(
                f"{place(number)}: makes {token!r}, whose id is {token_id} in {source}, but in the "
                f"order of the merges it is {new_id}; only vocabularies whose ids follow the "
                "order of their merges can be read"
            )
        for part in (left, right):
            if ids[part] not in known or ids[part] >= token_id:
                raise TokenizerError(
                    f"{place(number)}: {part!r} has the id {ids[part]} and is not made before"
                )
        if again:
            pairs[-1].append((ids[left], ids[right]))
        else:
            pairs.append([(ids[left], ids[right])])
            known.add(token_id)
            made.add(token)
    bytes_and_made = made.union(byte_alphabet().values())
    others = {name: token_id for name, token_id in ids.items() if name not in bytes_and_made}
    return ListedVocabulary(byte_order, _applied(pairs, byte_order, source), others)


def ids_by_name(tokenizer: BPETokenizer) -> dict[str, int]:
    """Return the table of a tokenizer: every id that is used, by its name, in their order.

    >>> ids_by_name(BPETokenizer([(32, 97)]))["Ġa"]
    256

    Raises:
        TokenizerError: a special token's name is how the alphabet writes another token.
    """
    ids = {
        written(tokenizer.token_bytes(token_id)): token_id
        for token_id in range(256 + len(tokenizer.merges))
    }
    for name, token_id in tokenizer.special_tokens.items():
        if name in ids:
            raise TokenizerError(
                f"the special token {name!r} is written like token {ids[name]} in GPT-2's "
                "alphabet, so the file could not tell them apart; rename it, or export to another "
                "format"
            )
        ids[name] = token_id
    return ids


def merge_names(tokenizer: BPETokenizer) -> list[tuple[str, str]]:
    """Return the two names of each merge, in their order.

    >>> merge_names(BPETokenizer([(32, 97)]))
    [('Ġ', 'a')]
    """
    names = [
        written(tokenizer.token_bytes(token_id)) for token_id in range(256 + len(tokenizer.merges))
    ]
    return [(names[left], names[right]) for left, right in tokenizer.merges]


def unreachable_token(merges: Sequence[Pair], byte_order: Sequence[int]) -> int | None:
    """Return the first id whose own bytes are not encoded as that id, or ``None``.

    >>> unreachable_token([(97, 98), (98, 99), (97, 257)], range(256))  # abc becomes ab, c
    258
    """
    tokens = merged_tokens(merges, byte_order)
    recovery = MergeRecovery(tokens[:256])
    for token_id, merge in enumerate(merges, start=256):
        if recovery.add(tokens[token_id]) != merge:
            return token_id
    return None


def _check_ids(ids: Mapping[str, Any], source: str) -> None:
    names: dict[int, str] = {}
    for name, token_id in ids.items():
        if type(token_id) is not int or token_id < 0:
            raise TokenizerError(
                f"{source}: the id of {name!r} is {token_id!r}, not a whole number from 0"
            )
        if token_id in names:
            raise TokenizerError(
                f"{source}: id {token_id} is that of {names[token_id]!r} and of {name!r}"
            )
        names[token_id] = name


def _byte_order(ids: Mapping[str, int], source: str) -> tuple[int, ...]:
    order = [0] * 256
    for byte, character in byte_alphabet().items():
        token_id = ids.get(character)
        if token_id is None:
            raise TokenizerError(
                f"{source}: byte {byte:#04x}, written {character!r}, is not in the vocabulary, so "
                "this is no byte-level vocabulary"
            )
        if token_id > 255:
            raise TokenizerError(
                f"{source}: byte {byte:#04x}, written {character!r}, has the id {token_id}; only "
                "vocabularies whose first 256 ids are the bytes can be read"
            )
        order[token_id] = byte
    return tuple(order)


def _applied(
    pairs: Sequence[Sequence[Pair]], byte_order: Sequence[int], source: str
) -> tuple[Pair, ...]:
    """Return the one merge of each token that can be applied."""
    first = tuple(listed[0] for listed in pairs)
    if all(len(listed) == 1 for listed in pairs):
        return first
    tokens = merged_tokens(first, byte_order)
    recovery = MergeRecovery(tokens[:256])
    found: list[Pair] = []
    for token_id, listed in enumerate(pairs, start=256):
        merge = recovery.add(tokens[token_id])
        if merge is None or merge not in listed:
            raise TokenizerError(
                f"{source}: token {token_id}, {spelling(tokens[token_id])!r}, is made by "
                f"{len(listed)} of the listed merges, none of which is ever applied to its bytes"
            )
        found.append(merge)
    return tuple(found)
