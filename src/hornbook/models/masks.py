"""Which token may see which: the ones before it in its own document, and itself.

segments   0 0 0 1 1 2 2 2 2        #  .  .  .  .  .  .  .  .
                                    #  #  .  .  .  .  .  .  .
three documents in one row          #  #  #  .  .  .  .  .  .
make a sawtooth                     .  .  .  #  .  .  .  .  .
                                    .  .  .  #  #  .  .  .  .
(a line is a query,                 .  .  .  .  .  #  .  .  .
 a column a key)                    .  .  .  .  .  #  #  .  .
                                    .  .  .  .  .  #  #  #  .
                                    .  .  .  .  .  #  #  #  #

With a window it sees only the last few of them, itself counted in: a band along the diagonal.
"""

from __future__ import annotations

import torch


def sawtooth(segments: torch.Tensor) -> torch.Tensor:
    """What each token of a packed row may see.

    Args:
        segments: [..., time] ``int64``, the number of each token's document. Padding counts as a
            document of its own, so no other token sees it.

    Returns:
        [..., time, time] bool, True where a query (row) may see a key (column).

    >>> sawtooth(torch.tensor([4, 4, 7])).int().tolist()
    [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    return (segments[..., :, None] == segments[..., None, :]).tril()


def band(time: int, window: int = 0) -> torch.Tensor:
    """What each token of a row may see of the ``window`` last ones, 0 for all.

    Returns:
        [time, time] bool, True where a query (row) may see a key (column).

    >>> band(4, window=2).int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    before = torch.ones(time, time, dtype=torch.bool).tril()
    return before.triu(1 - window) if window else before


def layer_pattern(value: object) -> str:
    """Which layers have a window, as it is written in the settings.

    Raises:
        ValueError: when it is neither a word that is known nor a list of numbers.

    >>> layer_pattern("alternate"), layer_pattern(" 0, 3"), layer_pattern([0, 3]), layer_pattern(2)
    ('alternate', '0,3', '0,3', '2')
    """
    if value in ("all", "alternate"):
        return str(value)
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    numbers = [str(part).strip() for part in parts]
    if not numbers or not all(number.isascii() and number.isdigit() for number in numbers):
        message = "should be all, alternate, or the numbers of layers from 0, as in 0,1,2"
        raise ValueError(message)
    return ",".join(numbers)


def layer_windows(window: int, pattern: str, layers: int) -> list[int]:
    """For each layer, how many of the last tokens it sees; 0 means all.

    Args:
        window: how many, where a layer has a window; 0 for no windows at all.
        pattern: ``all``, ``alternate`` (the first, the third, …), or the numbers of the layers
            that have one, from 0, with commas between them.
        layers: how many layers there are.

    >>> layer_windows(64, "alternate", 4), layer_windows(64, "0,1,2", 4)
    ([64, 0, 64, 0], [64, 64, 64, 0])
    """
    if pattern == "all":
        return [window] * layers
    chosen = range(0, layers, 2) if pattern == "alternate" else listed_layers(pattern)
    return [window if layer in chosen else 0 for layer in range(layers)]


def listed_layers(pattern: str) -> list[int]:
    """The layers that ``pattern`` counts up; none for a word.

    >>> listed_layers("0,2,3"), listed_layers("all")
    ([0, 2, 3], [])
    """
    return [] if pattern in ("all", "alternate") else [int(n) for n in pattern.split(",")]
