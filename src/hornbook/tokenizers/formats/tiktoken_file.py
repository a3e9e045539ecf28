"""tiktoken's files: a line for each token, its bytes in base64 and its rank, which is its id.

    IQ== 0
    Ig== 1
    ...
    IHRoZQ== 262

The first 256 ranks are the single bytes, in any order; each later token is made by one merge of
two earlier ones. The file holds neither the pattern nor the special tokens: whoever reads it has
to know them.
"""

from __future__ import annotations

import binascii
from pathlib import Path

from hornbook.durable import write_durably
from hornbook.errors import TokenizerError
from hornbook.tokenizers.bpe import BPETokenizer, spelling
from hornbook.tokenizers.bpe_reference import Pair
from hornbook.tokenizers.formats.files import read_file
from hornbook.tokenizers.formats.merge_recovery import MergeRecovery
from hornbook.tokenizers.special_tokens import END_OF_TEXT, SpecialTokens

_MOST_DIGITS = 9


def read_tiktoken(
    path: Path, pattern: str, special_tokens: SpecialTokens = (END_OF_TEXT,)
) -> BPETokenizer:
    """Read a tokenizer from a tiktoken file; see ``tokenizer_of_ranks``.

    Raises:
        TokenizerError: the file cannot be read, or as ``tokenizer_of_ranks``.
    """
    return tokenizer_of_ranks(read_file(path), pattern, special_tokens, str(path))


def write_tiktoken(tokenizer: BPETokenizer, path: Path) -> None:
    """Write the bytes and the merges of a tokenizer to a tiktoken file, whole or not at all.

    Raises:
        TokenizerError: as ``ranks_of_tokenizer``.
        OSError: the place cannot be written; what stood there stays.
    """
    write_durably(path, ranks_of_tokenizer(tokenizer))


def tokenizer_of_ranks(
    content: bytes,
    pattern: str,
    special_tokens: SpecialTokens = (END_OF_TEXT,),
    source: str = "ranks",
) -> BPETokenizer:
    """Build the tokenizer that a tiktoken file holds.

    Args:
        content: the lines of the file, in any order.
        pattern: what cuts a text before merging; the file does not say it.
        special_tokens: names to follow the last rank, or each name's id.
        source: what errors call the file.

    >>> lines = ranks_of_tokenizer(BPETokenizer([(117, 103), (104, 256)]))
    >>> tokenizer_of_ranks(lines, "gpt2").encode("hugs")
    [257, 115]

    Raises:
        TokenizerError: a line is no token and rank, a rank is missing or there twice, a token
            is there twice, the first 256 are not the single bytes, or no merge makes a token;
            names the line.
    """
    tokens, lines = _tokens_by_rank(content, source)
    _check_bytes(tokens, lines, source)
    recovery = MergeRecovery(tokens[:256])
    merges: list[Pair] = []
    for rank, token in enumerate(tokens[256:], start=256):
        merge = recovery.add(token)
        if merge is None:
            raise TokenizerError(
                f"{source}, line {lines[rank]}: no merge of earlier tokens makes "
                f"{spelling(token)!r} (rank {rank}): encoded with the tokens before it, it is not "
                "two of them, so no text would ever give its id"
            )
        merges.append(merge)
    return BPETokenizer(merges, pattern, special_tokens, [token[0] for token in tokens[:256]])


def ranks_of_tokenizer(tokenizer: BPETokenizer) -> bytes:
    """Return the bytes and the merges of a tokenizer as the lines of a tiktoken file.

    >>> ranks_of_tokenizer(BPETokenizer([(117, 103)])).splitlines()[-2:]
    [b'/w== 255', b'dWc= 256']

    Raises:
        TokenizerError: a token is not made by the merge that its bytes alone would give, so a
            reader of the file would find other ids.
    """
    merged_end = 256 + len(tokenizer.merges)
    tokens = [tokenizer.token_bytes(token_id) for token_id in range(merged_end)]
    recovery = MergeRecovery(tokens[:256])
    for token_id, merge in enumerate(tokenizer.merges, start=256):
        found = recovery.add(tokens[token_id])
        if found != merge:
            raise TokenizerError(
                f"a tiktoken file holds no merges, and merge {token_id - 256}, {merge}, cannot be "
                f"found again from the bytes of {spelling(tokens[token_id])!r}: "
                + ("no merge" if found is None else f"{found}")
                + " makes it when they are encoded; export to another format"
            )
    return b"".join(
        b"%s %d\n" % (binascii.b2a_base64(token, newline=False), rank)
        for rank, token in enumerate(tokens)
    )


def _tokens_by_rank(content: bytes, source: str) -> tuple[list[bytes], list[int]]:
    """Return the token of each rank, and the line it stands on."""
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    line_of_rank: dict[int, int] = {}
    rank_of_token: dict[bytes, int] = {}
    for number, line in enumerate(lines, start=1):
        try:
            encoded, digits = line.split()
            token = binascii.a2b_base64(encoded, strict_mode=True)
        except ValueError as error:  # the wrong number of fields, or binascii.Error
            raise TokenizerError(f"{source}, line {number}: {_wrong(line, error)}") from None
        if not digits.isdigit() or len(digits) > _MOST_DIGITS:
            raise TokenizerError(
                f"{source}, line {number}: the rank is {_shown(digits)}, not a whole number from "
                f"0 of at most {_MOST_DIGITS} digits"
            )
        rank = int(digits)
        if rank in line_of_rank:
            raise TokenizerError(
                f"{source}, line {number}: rank {rank} is that of line {line_of_rank[rank]} already"
            )
        if token in rank_of_token:
            earlier = line_of_rank[rank_of_token[token]]
            raise TokenizerError(
                f"{source}, line {number}: the token {spelling(token)!r} is that of line {earlier} "
                "already"
            )
        line_of_rank[rank] = number
        rank_of_token[token] = rank
    ranks = sorted(line_of_rank)
    for expected, rank in enumerate(ranks):
        if rank != expected:
            raise TokenizerError(
                f"{source}, line {line_of_rank[rank]}: rank {expected} is missing before rank "
                f"{rank}; ranks count up from 0 without gaps"
            )
    tokens = sorted(rank_of_token, key=lambda token: rank_of_token[token])
    return tokens, [line_of_rank[rank] for rank in ranks]


def _check_bytes(tokens: list[bytes], lines: list[int], source: str) -> None:
    for token, line in zip(tokens[:256], lines, strict=False):
        if len(token) != 1:
            missing = min(set(range(256)) - {token[0] for token in tokens if len(token) == 1})
            raise TokenizerError(
                f"{source}, line {line}: {spelling(token)!r} is among the first 256 ranks, which "
                f"are the single bytes; byte {missing:#04x} is not among them"
            )
    if len(tokens) < 256:
        missing = min(set(range(256)) - {token[0] for token in tokens})
        raise TokenizerError(
            f"{source}: {len(tokens)} tokens are no byte-level vocabulary, which has at least the "
            f"256 single bytes; byte {missing:#04x} is missing"
        )


def _wrong(line: bytes, error: ValueError) -> str:
    if isinstance(error, binascii.Error):
        return f"{_shown(line.split()[0])} is no base64 ({error})"
    count = len(line.split())
    return (
        "a token in base64, a space and its rank are expected, neither of them empty, not "
        f"{count} field{'' if count == 1 else 's'}: {_shown(line)}"
    )


def _shown(field: bytes) -> str:
    text = field.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= 40 else text[:37] + "...")
