"""Find the merges of a vocabulary that is published as nothing but tokens in their order.

A token was made by one merge: when everything before it is merged, its bytes are two tokens.
So for each place where the bytes fall into two known tokens, ask whether these two would stay
apart until then. ``would stand apart`` needs no encoding. Take ``hug`` + ``s``, and undo the
merges at their border from the last to the first:

    hug | s        is there a merge of these two? if so, did it come before ...
     ug | s        ... hug was made; and of these, before ug was made?
      g | s        and of these?

If no merge across the border came before the ones that the two sides are made of, nothing ever
crossed it. One place at most can pass, because encoding has one result.
"""

from __future__ import annotations

from collections.abc import Iterable

from hornbook.tokenizers.bpe_reference import Pair

_NEVER = 1 << 62


class MergeRecovery:
    """The tokens known so far and the merges that make them; give it tokens in their order.

    Args:
        bytes_in_order: the 256 single bytes in the order of their ids.
    """

    def __init__(self, bytes_in_order: Iterable[bytes]) -> None:
        self._ids = {byte: token_id for token_id, byte in enumerate(bytes_in_order)}
        self._parts: list[Pair] = [(token_id, token_id) for token_id in self._ids.values()]
        self._made: dict[Pair, int] = {}

    def add(self, token: bytes) -> Pair | None:
        """Return the merge that makes a new token out of those before it, and remember both.

        ``None`` says that there is no such merge: encoding its bytes with the tokens before it
        gives more than two tokens. It is not remembered then.

        >>> recovery = MergeRecovery(bytes([byte]) for byte in range(256))
        >>> recovery.add(b"ug"), recovery.add(b"hug"), recovery.add(b"pugs")
        ((117, 103), (104, 256), None)
        """
        ids = self._ids
        for cut in range(1, len(token)):
            left = ids.get(token[:cut])
            if left is None:
                continue
            right = ids.get(token[cut:])
            if right is not None and self._stand_apart(left, right):
                ids[token] = new_id = len(self._parts)
                self._made[left, right] = new_id
                self._parts.append((left, right))
                return left, right
        return None

    def _stand_apart(self, left: int, right: int) -> bool:
        """Tell whether two tokens side by side stay as they are under all merges known so far."""
        left_undone = right_undone = _NEVER
        while True:
            crossing = self._made.get((left, right), _NEVER)
            # Of equal merges the left one is made first: the border's before the one right of it.
            if crossing < left_undone and crossing <= right_undone:
                return False
            if left < 256 and right < 256:
                return True
            if left > right:  # undo the younger of the two: its outer part was not at the border
                left_undone, left = left, self._parts[left][1]
            else:
                right_undone, right = right, self._parts[right][0]
