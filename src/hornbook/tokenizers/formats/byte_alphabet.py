"""GPT-2's alphabet: one visible character for each byte, so that JSON and lines can hold tokens.

A byte that is a visible character of Latin-1 is written as that character: ``a`` as ``a``, 0xE9
as ``é``. The 68 others (white space, control characters, the soft hyphen) get the characters
from U+0100 on, in the order of the bytes. So a space is ``Ġ``, and a line end is ``Ċ``.

Source: Radford et al. 2019, the files of GPT-2; Hugging Face calls it *byte-level*.
"""

from __future__ import annotations


def byte_alphabet() -> dict[int, str]:
    """Return the character of each byte.

    >>> alphabet = byte_alphabet()
    >>> "".join(alphabet[byte] for byte in " Café\\n".encode())
    'ĠCafÃ©Ċ'
    """
    characters: dict[int, str] = {}
    hidden = 0
    for byte in range(256):
        latin = chr(byte)
        if latin.isprintable() and latin != " ":
            characters[byte] = latin
        else:
            characters[byte] = chr(0x100 + hidden)
            hidden += 1
    return characters


def written(token: bytes) -> str:
    """Return a token in the alphabet.

    >>> written(b" the")
    'Ġthe'
    """
    return token.decode("latin-1").translate(_CHARACTERS)


_CHARACTERS = byte_alphabet()
