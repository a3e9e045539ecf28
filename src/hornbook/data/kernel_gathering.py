"""Batches gathered by compiled loops: what ``numpy_gathering`` does, many times as fast.

A window by line is one stretch of the token sequence with something on either side of it, so
a row is three fills and two copies, and no place in it is asked what it is:

    places of the line     -2   -1    0    1    2    3
    inputs                pad  pad  <s>   t1   t2   t3        copied from t1 on
    targets                 ·    ·   t1   t2   t3 </s>        copied from t1 on

Only ``gathering`` imports this file, when compiling pays.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.batch import Batch
from hornbook.data.order import FEISTEL_MULTIPLIERS, ExampleOrder, feistel_network
from hornbook.data.packing import PackedWindows
from hornbook.data.positions import Positions
from hornbook.data.token_store import LineIds, TokenSequence
from hornbook.data.windows import LineWindows
from hornbook.kernels import inlined, kernel
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT

LEFT_PADDED, SLIDE_THROUGH, FULL, FIRST_FULL = 0, 1, 2, 3
STRATEGY_NUMBERS = {
    "left_padded": LEFT_PADDED,
    "slide_through": SLIDE_THROUGH,
    "full": FULL,
    "first_full": FIRST_FULL,
}

_FIRST = np.uint64(FEISTEL_MULTIPLIERS[0])
_SECOND = np.uint64(FEISTEL_MULTIPLIERS[1])


def examples(order: ExampleOrder, first: int, number: int) -> NDArray[np.int64]:
    """The examples at places ``first`` up to ``first + number`` of the run: [number]."""
    found = np.empty(number, dtype=np.int64)
    for epoch, place, part in order.epochs(first, number):
        half_bits, round_keys = feistel_network(order.count, order.key(epoch))
        permute_run(place, order.count, half_bits, round_keys, found[part])
    return found


def stream_rows(
    sequence: TokenSequence, starts: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inputs and targets of windows over a stream: two arrays [batch, length] ``int64``.

    Raises:
        IndexError: when a window or its last target would leave the sequence.
    """
    inputs, targets = np.empty((2, len(starts), length), dtype=np.int64)
    if len(starts) and (starts.min() < 0 or starts.max() + length >= len(sequence)):
        raise IndexError(f"a window of {length} tokens leaves the sequence of {len(sequence)}")
    for tokens, shard_start in sequence.shards():
        gather_slices(tokens, shard_start, starts, inputs, targets)
    return inputs, targets


def line_batch(
    sequence: TokenSequence,
    windows: LineWindows,
    indices: NDArray[np.int64],
    line_ids: LineIds,
    positions: Positions,
    examples: NDArray[np.int64],
) -> Batch:
    """Gather windows by line; arguments and result are those of ``numpy_gathering``."""
    size, length = len(indices), windows.context_length
    places = np.empty((4, size), dtype=np.int64)
    number = STRATEGY_NUMBERS[windows.strategy]
    counts, ends = windows.cumulative, windows.line_ends
    padded = place_in_lines(indices, counts, ends, number, length, windows.stride, places)
    numbered = positions.meaning != "window" or padded > 0
    # One block for all: memory of this size comes fresh from the system each time it is asked for,
    # and to be given it costs as much as to fill it.
    block = np.empty((2 + numbered + (padded > 0), size, length), dtype=np.int64)
    inputs, targets, start, pad, real = block[0], block[1], line_ids.start, line_ids.pad, 0
    for tokens, shard_start in sequence.shards():
        real = gather_lines(
            tokens, shard_start, places, start, pad, windows.shows_end, inputs, targets
        )
    if numbered:
        begins = positions.begins(places[1], examples)
        number_places(places[1], begins, block[2], block[3:], PADDING_SEGMENT)
    tensors = torch.from_numpy(block).unbind()
    return Batch(tensors[0], tensors[1], real, *tensors[2:])


def packed_rows(
    sequence: TokenSequence, windows: PackedWindows, indices: NDArray[np.int64], pad: int
) -> tuple[NDArray[np.int64], int]:
    """Gather packed rows; arguments and result are those of ``numpy_gathering``."""
    rows = np.empty((4, len(indices), windows.context_length), dtype=np.int64)
    first, begins, lengths = windows.first_pieces, windows.piece_begins, windows.piece_lengths
    real = 0
    for tokens, start in sequence.shards():
        is_last = start + len(tokens) == len(sequence)
        real = gather_pieces(tokens, start, is_last, indices, first, begins, lengths, pad, rows)
    return rows, real


@inlined
def _scattered(value: np.uint64) -> np.uint64:
    """One number scattered over 64 bits; see ``order.mixed_bits``."""
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return value ^ (value >> np.uint64(31))


@kernel
def permute_run(
    first: int,
    count: int,
    half_bits: int,
    round_keys: NDArray[np.uint64],
    found: NDArray[np.int64],
) -> None:
    """Write the partners of ``len(found)`` places from ``first`` on; see ``order.permute``."""
    shift = np.uint64(half_bits)
    mask = (np.uint64(1) << shift) - np.uint64(1)
    key_1, key_2, key_3, key_4 = round_keys[0], round_keys[1], round_keys[2], round_keys[3]
    size = len(found)
    values = np.arange(first, first + size).astype(np.uint64)
    places = np.arange(size)
    # Those outside walk on together, a step at a time: a value depends on the one before, so a
    # processor that finishes one walk before the next waits for most of its multiplications.
    while size > 0:
        for number in range(size):
            left, right = values[number] >> shift, values[number] & mask
            left, right = right, left ^ (_scattered(right + key_1) & mask)
            left, right = right, left ^ (_scattered(right + key_2) & mask)
            left, right = right, left ^ (_scattered(right + key_3) & mask)
            left, right = right, left ^ (_scattered(right + key_4) & mask)
            values[number] = (left << shift) | right
        outside = 0
        for number in range(size):
            value, place = values[number], places[number]
            found[place] = np.int64(value)
            values[outside], places[outside] = value, place
            outside += value >= np.uint64(count)
        size = outside


@inlined
def _first_and_last(strategy: int, length: int, context: int) -> tuple[int, int]:
    """Where the first and the last window of a line start; see ``windows.line_examples``."""
    if strategy == LEFT_PADDED:
        return 1 - context, length - 1 - context
    if strategy == SLIDE_THROUGH:
        return 1 - context, length - 2
    if length > context:
        return 0, length - context - 1
    if strategy == FULL:
        return length - context, -1 if length < context else 0
    return 0, 0


@kernel
def place_in_lines(
    indices: NDArray[np.int64],
    cumulative: NDArray[np.int64],
    ends: NDArray[np.integer],
    strategy: int,
    context: int,
    stride: int,
    places: NDArray[np.int64],
) -> int:
    """Find the line of each window and where the window stands; see ``LineWindows.places``.

    Args:
        indices: [batch] numbers of windows.
        cumulative: [lines] windows up to and including each line.
        ends: [lines] where the tokens of each line end in the sequence.
        strategy: its number.
        context: tokens in a window's inputs.
        stride: every so many-th window of a line is an example.
        places: [4, batch] is filled with line, start, origin and length.

    Returns:
        how many windows start with padding.
    """
    # All rows take each step of the search together: the memory answers many of them at once,
    # and nothing is guessed by the processor, so nothing is guessed wrong.
    lines = places[0]
    lines[:] = 0
    size = len(cumulative)
    while size > 1:
        half = size // 2
        for row in range(len(indices)):
            line = lines[row]
            lines[row] = line + half * (cumulative[line + half - 1] <= indices[row])
        size -= half
    padded = 0
    for row in range(len(indices)):
        line = lines[row]
        before, begin = np.int64(0), np.int64(0)
        if line > 0:
            before, begin = cumulative[line - 1], np.int64(ends[line - 1])
        length = np.int64(ends[line]) - begin + 1
        first, last = _first_and_last(strategy, length, context)  # pyright: ignore[reportArgumentType]
        start = min(first + (indices[row] - before) * stride, last)
        places[1, row], places[2, row], places[3, row] = start, begin - 1, length
        padded += start < 0
    return padded


@inlined
def _copy(
    tokens: NDArray[np.unsignedinteger],
    offset: int,
    first: int,
    stop: int,
    row: NDArray[np.int64],
) -> None:
    """Fill ``row[first:stop]`` from ``tokens[offset + first:]``, as far as there are tokens."""
    first, stop = max(first, -offset), min(stop, len(tokens) - offset)
    if first < stop:
        # Numbers without a sign: the compiler need not ask whether an index counts from the end.
        shift = np.uint64(offset)
        for place in range(np.uint64(first), np.uint64(stop)):
            row[place] = tokens[place + shift]


@kernel
def gather_slices(
    tokens: NDArray[np.unsignedinteger],
    shard_start: int,
    starts: NDArray[np.int64],
    inputs: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> None:
    """Fill windows over a stream ([batch, time] each) with what one shard holds of them."""
    context = inputs.shape[1]
    for row in range(len(starts)):
        offset = starts[row] - shard_start
        x, y = inputs[row], targets[row]
        if 0 <= offset < len(tokens) - context:
            shift = np.uint64(offset)
            for place in range(np.uint64(context)):
                x[place] = tokens[place + shift]
                y[place] = tokens[place + shift + np.uint64(1)]
        else:
            _copy(tokens, offset, 0, context, x)
            _copy(tokens, offset + 1, 0, context, y)


@kernel
def gather_lines(
    tokens: NDArray[np.unsignedinteger],
    shard_start: int,
    places: NDArray[np.int64],
    start_id: int,
    pad: int,
    shows_end: bool,
    inputs: NDArray[np.int64],
    targets: NDArray[np.int64],
) -> int:
    """Fill windows by line with what one shard holds of them; see ``line_batch``.

    Args:
        tokens: the shard.
        shard_start: where it starts in the sequence; the first one also fills what is no token
            of the sequence.
        places: [4, batch] from ``place_in_lines``.
        start_id: stands at place 0 of a line.
        pad: stands outside the line.
        shows_end: whether a line's last token stands in the inputs.
        inputs: [batch, time] is filled.
        targets: [batch, time] is filled.

    Returns:
        how many targets count.
    """
    context = inputs.shape[1]
    real = 0
    for row in range(len(inputs)):
        start, length = places[1, row], places[3, row]
        x, y = inputs[row], targets[row]
        first = min(max(-start, 0), context)
        x_stop = min(max(length - start - (0 if shows_end else 1), first), context)
        y_stop = min(max(length - start - 1, first), context)
        offset = places[2, row] + start - shard_start
        if 0 <= offset < len(tokens) - context:
            # The window lies inside the shard, whatever in it is padding: every place of every
            # row is done alike, without a loop whose length nobody can guess.
            source, later = tokens[offset : offset + context], tokens[offset + 1 :]
            x_first = max(first, 1 - start)
            for place in range(context):
                x[place] = source[place] if x_first <= place < x_stop else pad
            for place in range(context):
                y[place] = later[place] if first <= place < y_stop else IGNORED_TARGET
        else:
            if shard_start == 0:
                x[:first] = pad
                x[x_stop:] = pad
                y[:first] = IGNORED_TARGET
                y[y_stop:] = IGNORED_TARGET
            _copy(tokens, offset, max(first, 1 - start), x_stop, x)
            _copy(tokens, offset + 1, first, y_stop, y)
        if -context < start <= 0:
            x[-start] = start_id
        real += y_stop - first
    return real


@kernel
def number_places(
    starts: NDArray[np.int64],
    begins: NDArray[np.int64],
    positions: NDArray[np.int64],
    segments: NDArray[np.int64],
    padding_segment: int,
) -> None:
    """Fill positions, and segments if they have rows; see ``Positions.within_lines``.

    Args:
        starts: [batch] place of each window's first input in its line.
        begins: [batch] position of each window's first real token.
        positions: [batch, time] is filled.
        segments: [1, batch, time] is filled, unless it is [0, batch, time].
        padding_segment: the segment of padding before a line; the line is 0.
    """
    length = positions.shape[1]
    for row in range(len(starts)):
        padding = min(max(-starts[row], 0), length)
        numbers, begin = positions[row], begins[row]
        for place in range(length):
            numbers[place] = begin + max(place - padding, 0)
        for extra in range(len(segments)):
            documents = segments[extra, row]
            for place in range(length):
                documents[place] = padding_segment if place < padding else 0


@kernel
def gather_pieces(
    tokens: NDArray[np.unsignedinteger],
    shard_start: int,
    is_last: bool,
    indices: NDArray[np.int64],
    first_pieces: NDArray[np.int64],
    piece_begins: NDArray[np.int64],
    piece_lengths: NDArray[np.int32],
    pad: int,
    rows: NDArray[np.int64],
) -> int:
    """Fill packed rows ([4, batch, time]) with what one shard holds of them; see ``packed_rows``.

    Returns:
        how many targets count.
    """
    real = 0
    for row in range(len(indices)):
        x, y, documents, numbers = rows[0, row], rows[1, row], rows[2, row], rows[3, row]
        first, column = first_pieces[indices[row]], 0
        for piece in range(first, first_pieces[indices[row] + 1]):
            begin, stop = piece_begins[piece], column + piece_lengths[piece]
            offset = begin - column - shard_start
            _copy(tokens, offset, column, stop, y)
            _copy(tokens, offset - 1, column, stop, x)
            if begin == 0 and is_last and len(tokens):
                x[column] = tokens[len(tokens) - 1]  # nothing stands before: any end token will do
            if shard_start == 0:
                for place in range(np.uint64(column), np.uint64(stop)):
                    documents[place] = piece - first
                    numbers[place] = place - np.uint64(column)
            column = stop
        if shard_start == 0:
            x[column:] = pad
            y[column:] = IGNORED_TARGET
            documents[column:] = PADDING_SEGMENT
            numbers[column:] = 0
        real += column
    return real
