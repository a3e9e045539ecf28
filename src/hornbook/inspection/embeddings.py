"""The vectors of a model's tokens: who is near whom, and where they lie on a plane.

    token_embedding      king   [ 0.3 -1.1 …]     cosine(king, queen) = 0.8
                         queen  [ 0.4 -0.9 …]     cosine(king, ;)     = 0.1

Nothing is learned of what a token means that never occurred in training; where the head has the
same vectors, all such tokens are only pushed away from what is likely, and so all the same way. So
neighbours are looked for among tokens that did occur, where it is known which those are.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.errors import HornbookError
from hornbook.models import BigramCounts, LanguageModel
from hornbook.models.bigram import Bigram
from hornbook.runs.assembly import open_store
from hornbook.runs.run import Run
from hornbook.tokenizers import Tokenizer

Vectors = NDArray[np.float32]
"""[tokens, width]: a vector for each token."""


@dataclass(frozen=True)
class TokenVectors:
    """What a model knows each token by.

    Attributes:
        what: where they are from, in a few words.
        table: [vocab_size, width].
        counts: [vocab_size] ``int64``, how often each token stands in the text that the run was
            trained on; ``None`` where its tokens are not at hand.
    """

    what: str
    table: Vectors
    counts: NDArray[np.int64] | None

    @property
    def norms(self) -> NDArray[np.float32]:
        """[vocab_size]: the length of each vector."""
        return np.linalg.norm(self.table, axis=1)

    @property
    def known(self) -> NDArray[np.int64]:
        """The ids that occurred in training, most frequent first; all of them if it is not known.

        >>> TokenVectors("", np.ones((3, 2), np.float32), np.array([1, 0, 5])).known
        array([2, 0])
        """
        if self.counts is None:
            return np.arange(len(self.table))
        order = np.argsort(-self.counts, kind="stable")
        return order[self.counts[order] > 0]


@dataclass(frozen=True)
class Neighbour:
    """A token near another; ``cosine`` of the angle between their vectors, 1 for the same way."""

    token: int
    cosine: float


def token_vectors(run: Run) -> TokenVectors:
    """The vectors of a run's checkpoint.

    Raises:
        RunError: when the weights are missing or damaged.
    """
    what, table = _table(run.model)
    return TokenVectors(what, table.float().numpy(), training_counts(run))


def _table(model: LanguageModel) -> tuple[str, torch.Tensor]:
    if isinstance(model, Bigram | BigramCounts):
        table = model.log_probabilities if isinstance(model, BigramCounts) else model.table.weight
        # The same number added to a whole row changes nothing of what the row predicts.
        rows = table.detach().clone()
        return "scores of what follows a token", rows - rows.mean(dim=1, keepdim=True)
    embedding = model.token_embedding
    assert isinstance(embedding, torch.nn.Embedding)
    return "token_embedding", embedding.weight.detach()


def training_counts(run: Run) -> NDArray[np.int64] | None:
    """How often each token stands in the training text, [vocab_size]; ``None`` if it is not known.

    The tokens are looked for in the run and in the cache; no text is encoded for this.
    """
    if run.manifest.fingerprints is None:
        return None
    try:
        store = open_store(run.folder, run.manifest)
    except HornbookError:
        return None
    size = run.tokenizer.vocab_size
    counts = np.zeros(size, dtype=np.int64)
    for shard, _ in store.training.shards():
        counts += np.bincount(shard, minlength=size)
    return counts


def neighbours(table: Vectors, token: int, among: NDArray[np.int64], most: int) -> list[Neighbour]:
    """The tokens whose vectors point most nearly the same way, the nearest first.

    Args:
        table: [vocab_size, width].
        token: whose neighbours.
        among: the ids to look at; ``token`` itself is left out.
        most: how many at most.

    >>> table = np.array([[1, 0], [2, 0.1], [0, 1], [-1, 0]], dtype=np.float32)
    >>> [(n.token, round(n.cosine, 2)) for n in neighbours(table, 0, np.arange(4), 2)]
    [(1, 1.0), (2, 0.0)]
    """
    among = among[among != token]
    cosines = unit(table[among]) @ unit(table[[token]])[0]
    order = np.argsort(-cosines, kind="stable")[:most]
    return [Neighbour(int(among[place]), float(cosines[place])) for place in order]


def all_neighbours(table: Vectors, most: int) -> list[list[Neighbour]]:
    """``neighbours`` of every vector among all others.

    >>> table = np.array([[1, 0], [2, 0.1], [0, 1], [-1, 0]], dtype=np.float32)
    >>> [[n.token for n in found] for found in all_neighbours(table, 1)]
    [[1], [0], [1], [2]]
    """
    directions = unit(table)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(most, len(table) - 1)]
    return [
        [Neighbour(int(token), float(row[token])) for token in nearest]
        for row, nearest in zip(cosines, order, strict=True)
    ]


def unit(vectors: Vectors) -> Vectors:
    """Each vector at length 1; one without length stays as it is, near nothing.

    >>> unit(np.array([[3, 4], [0, 0]], dtype=np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def tokens_of_word(tokenizer: Tokenizer, word: str) -> list[int]:
    """The tokens that are all of ``word``, by themselves or with a space in front; or its pieces.

    Args:
        tokenizer: the run's.
        word: any text, or the name of a special token.

    Raises:
        HornbookError: when the word is empty, or the vocabulary has nothing to spell it with; the
            tokens that look most like it are named.
    """
    if word in tokenizer.special_tokens:
        return [tokenizer.special_tokens[word]]
    if not word:
        raise HornbookError("An empty word has no neighbours; name a token, as in --near king.")
    spelled = [tokenizer.encode(text) for text in (word, f" {word}")]
    whole = [ids[0] for ids in spelled if len(ids) == 1 and ids[0] != tokenizer.unknown_id]
    if whole:
        return list(dict.fromkeys(whole))
    if tokenizer.unknown_id in spelled[0]:
        near = similar_tokens(tokenizer, word)
        hint = f" Tokens that look like it: {', '.join(near)}." if near else ""
        raise HornbookError(f"{word!r} is no token of this {tokenizer.kind} vocabulary.{hint}")
    return list(dict.fromkeys(spelled[0]))


def similar_tokens(tokenizer: Tokenizer, word: str, most: int = 5) -> list[str]:
    """Tokens that are spelled much like ``word``."""
    texts: dict[str, None] = {}
    for token in range(tokenizer.vocab_size):
        text = tokenizer.token_bytes(token).decode("utf-8", "ignore").strip()
        if len(text) > 1:
            texts[text] = None
    return difflib.get_close_matches(word, list(texts), n=most, cutoff=0.5)


def principal_plane(vectors: Vectors) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The plane on which vectors differ most (PCA; Pearson, 1901).

    Args:
        vectors: [tokens, width], at least one.

    Returns:
        [tokens, 2] places, and the share of all variance along each of the two directions.

    >>> places, shares = principal_plane(np.array([[0, 0, 1], [1, 0, 1], [5, 0, 1]], np.float32))
    >>> places[:, 0].round(6).tolist(), [round(share, 6) for share in shares]
    ([-2.0, -1.0, 3.0], [1.0, 0.0])
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    # The smaller of the two products has the same variances.
    wide = centred.shape[0] < centred.shape[1]
    values, directions = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    values, directions = np.maximum(values[::-1], 0), directions[:, ::-1][:, :2]
    places = directions * np.sqrt(values[:2]) if wide else centred @ directions
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    # A direction may as well be its opposite: the place furthest out is on the right, or above.
    furthest = places[np.abs(places).argmax(axis=0), [0, 1]]
    total = values.sum() or 1.0
    first, second = (float(value / total) for value in np.pad(values, (0, 2))[:2])
    return places * np.where(furthest < 0, -1.0, 1.0), (first, second)


def kinds_of_tokens(texts: Sequence[bytes], special: Sequence[int]) -> list[str]:
    """What each token is made of, in one of the words of ``KINDS``.

    >>> kinds_of_tokens([b" king", b"ing", b"12", b";", b"\\xe2", b"</s>"], [5])
    ['begins a word', 'letters', 'digits', 'signs', 'part of a character', 'special']
    """
    kinds = []
    for token, content in enumerate(texts):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        if token in special:
            kinds.append("special")
        elif text is None:
            kinds.append("part of a character")
        elif text[:1] in {" ", "▁"} and any(map(str.isalpha, text)):
            kinds.append("begins a word")
        elif any(map(str.isalpha, text)):
            kinds.append("letters")
        else:
            kinds.append("digits" if any(map(str.isdigit, text)) else "signs")
    return kinds


KINDS = {
    "begins a word": ("#4c3d93", "#b3a6f0"),
    "letters": ("#2f7fb5", "#6fb7e6"),
    "digits": ("#c8501e", "#f09a6b"),
    "signs": ("#8a6d0f", "#d9bd5a"),
    "part of a character": ("#7d8794", "#8a94a2"),
    "special": ("#b3306b", "#f07fb0"),
}
"""What tokens are made of, and the colour of each on a light and on a dark ground."""
