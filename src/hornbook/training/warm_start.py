"""A warm start: a new run whose weights begin as another's, wherever they fit.

    training.init_from=runs/poems@400

A fork goes on with a run: the same tokenizer, optimizer and place in the data. A warm start only
borrows weights; model, text and plan are the new run's own. Tensor by tensor:

    taken       the other has one of this name and shape
    by token    a row stands for a token, and the vocabularies differ: each token that both know,
                by its bytes, keeps its row; the others keep what was drawn for them
    left        the other has none of this name, or another shape: it stays as drawn

With the other's own settings for the tokenizer, its tokenizer comes along, so that every row
fits. What became of each tensor is in the manifest. The weights are kept as the new run's
checkpoint of step 0, so that from then on it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hornbook.errors import ConfigError, Problem, RunError, TokenizerError
from hornbook.listener import Listener
from hornbook.models import LanguageModel
from hornbook.runs.assembly import make_model
from hornbook.runs.checkpoints import (
    TrainingState,
    list_checkpoints,
    model_tensors,
    save_checkpoint,
)
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.manifest import WarmStart
from hornbook.runs.run import Run, open_run
from hornbook.tokenizers import Tokenizer


def with_fixed_origin(config: RunConfig) -> RunConfig:
    """The settings with ``training.init_from`` as a place and a step that stay what they are.

    Raises:
        ConfigError: when there is no such run or checkpoint.
    """
    address = config.training.init_from
    if not address:
        return config
    origin = _opened(address)
    fixed = f"{origin.path.resolve()}@{origin.checkpoint.step}"
    plan = config.training.model_copy(update={"init_from": fixed})
    return config.model_copy(update={"training": plan})


def borrowed_tokenizer(config: RunConfig, listener: Listener) -> Tokenizer | None:
    """The tokenizer of ``training.init_from``, if the new run's would be made as it was."""
    if not config.training.init_from:
        return None
    origin = _opened(config.training.init_from)
    if origin.config.tokenizer != config.tokenizer:
        return None
    listener.notice(f"the tokenizer is that of {origin.path}, whose settings it shares")
    return origin.tokenizer


def begin_from_origin(
    folder: RunFolder, config: RunConfig, tokenizer: Tokenizer, listener: Listener
) -> None:
    """Put the borrowed weights into a checkpoint of step 0, unless the run has gone on from it.

    Raises:
        ConfigError: when the other run or its checkpoint is gone.
        RunError: when its weights are damaged, or none of them fits.
    """
    if not config.training.init_from or list_checkpoints(folder.path):
        return
    origin = _opened(config.training.init_from)
    model = make_model(config, tokenizer)
    record = borrow_weights(model, tokenizer, origin)
    manifest = folder.read_manifest()
    manifest.model_copy(update={"warm_start": record}).write(folder.path)
    save_checkpoint(folder.path, model, {}, TrainingState())
    for line in told(record):
        listener.notice(line)


def borrow_weights(model: LanguageModel, tokenizer: Tokenizer, origin: Run) -> WarmStart:
    """Copy what fits of ``origin``'s weights into ``model``; returns what became of each tensor.

    Args:
        model: with its drawn weights; changed in place.
        tokenizer: the new run's.
        origin: opened at the checkpoint to take from.

    Raises:
        RunError: when nothing fits, or the weights are damaged.
    """
    # A tied head has both its names there, so that an untied one finds it as well.
    theirs = origin.model.state_dict()
    ours = model_tensors(model)
    same_tokens = tokenizer.fingerprint == origin.tokenizer.fingerprint
    pairs = torch.empty(0, 2, dtype=torch.int64)
    if not same_tokens:
        pairs = common_tokens(tokenizer, origin.tokenizer)
    taken: list[str] = []
    by_token: dict[str, int] = {}
    left: dict[str, str] = {}
    for name, tensor in ours.items():
        source = theirs.get(name)
        axes = None if same_tokens else model.token_axes.get(name)
        reason = _unfit(tensor, source, axes)
        if reason or source is None:
            left[name] = reason
        elif axes is None:
            tensor.copy_(source)
            taken.append(name)
        else:
            _copy_tokens(tensor, source, pairs, axes)
            by_token[name] = len(pairs)
    if not taken and not any(by_token.values()):
        raise RunError(
            f"Nothing of {origin.path}@{origin.checkpoint.step} fits this model: "
            + "; ".join(f"{name} {reason}" for name, reason in left.items())
            + ". Choose its model settings, or leave training.init_from out."
        )
    return WarmStart(
        run=str(origin.path),
        step=origin.checkpoint.step,
        weights=origin.checkpoint.weights_checksum(),
        taken=tuple(taken),
        by_token=by_token,
        left=left,
        unused=tuple(name for name in model_tensors(origin.model) if name not in ours),
    )


def common_tokens(ours: Tokenizer, theirs: Tokenizer) -> torch.Tensor:
    """The ids of every token that both vocabularies have: [tokens, 2] ``int64``, ours first.

    A token is what its bytes are; a special token is what it is called, or else what it is for:
    to end a document, to begin one, to fill a row, to stand for the unknown.
    """
    known = _ids_by_meaning(theirs)
    pairs = {
        token_id: known[meaning]
        for meaning, token_id in _ids_by_meaning(ours).items()
        if meaning in known
    }
    for role in ("end_id", "start_id", "pad_id", "unknown_id"):
        here, there = getattr(ours, role), getattr(theirs, role)
        if here is not None and there is not None:
            pairs.setdefault(here, there)
    return torch.tensor(sorted(pairs.items()), dtype=torch.int64).view(-1, 2)


def told(record: WarmStart) -> list[str]:
    """What a person should know of a warm start, in lines."""
    lines = [f"begun from {record.run}@{record.step}: {len(record.taken)} tensors taken"]
    for name, rows in record.by_token.items():
        lines.append(f"  {name}: the rows of {rows:,} tokens that both vocabularies know")
    lines += [f"  {name}: left as drawn, {reason}" for name, reason in record.left.items()]
    if record.unused:
        lines.append(f"  not used: {', '.join(record.unused)}")
    return lines


def _opened(address: str) -> Run:
    try:
        origin = open_run(address)
        _ = origin.checkpoint
    except RunError as error:
        raise ConfigError([Problem("training.init_from", str(error), address)]) from error
    return origin


def _unfit(tensor: torch.Tensor, source: torch.Tensor | None, axes: tuple[int, ...] | None) -> str:
    """Why ``source`` cannot be taken, or nothing."""
    if source is None:
        return "the other run has no tensor of this name"
    if axes == ():
        return "its numbers are of another vocabulary's ids"
    free = axes or ()
    there, here = list(source.shape), list(tensor.shape)
    fits = len(there) == len(here) and all(
        there[axis] == here[axis] for axis in range(len(here)) if axis not in free
    )
    return "" if fits else f"its shape is {here}, and {there} in the other run"


def _copy_tokens(
    tensor: torch.Tensor, source: torch.Tensor, pairs: torch.Tensor, axes: tuple[int, ...]
) -> None:
    """Copy the entries of tokens that both know, along every axis that tokens number."""
    here, there = pairs.unbind(1)
    if axes == (0,):
        tensor[here] = source[there]
    else:
        assert axes == (0, 1), "tokens number rows, or rows and columns"
        tensor[here[:, None], here] = source[there[:, None], there]


def _ids_by_meaning(tokenizer: Tokenizer) -> Mapping[tuple[bool, bytes], int]:
    special = set(tokenizer.special_tokens.values())
    found: dict[tuple[bool, bytes], int] = {}
    for token_id in range(tokenizer.vocab_size):
        try:
            meaning = token_id in special, tokenizer.token_bytes(token_id)
        except TokenizerError:  # an id that stands for nothing
            continue
        found.setdefault(meaning, token_id)
    return found
