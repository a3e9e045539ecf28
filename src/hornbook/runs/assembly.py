"""The one place where settings become things: tokenizer, tokens, windows, model, batches.

Training, sampling, inspection and experiments all come here, so that no two of them can
ever build the same run differently. Read in the order in which data flows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from hornbook.corpora import Corpus, CorpusSplit, split_corpus
from hornbook.data import (
    EvaluationBatches,
    ExampleOrder,
    HeldWindows,
    LineIds,
    LineWindows,
    PackedBatches,
    PackedWindows,
    Positions,
    StreamWindows,
    TokenStore,
    TrainingBatches,
    cached_token_store,
    store_fingerprint,
)
from hornbook.data.consecutive import ConsecutiveBatches, ConsecutiveOrder
from hornbook.data.dealing import WindowDeal
from hornbook.data.tokenization import cached_store_folder
from hornbook.errors import ConfigError, CorpusError, DataError, Problem, RunError
from hornbook.listener import SILENT, Listener
from hornbook.models import LanguageModel, TransformerConfig, build_model
from hornbook.optimization import build_optimizer, freeze
from hornbook.randomness import stream_seed
from hornbook.runs.config import LARGEST_TABLE, RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.manifest import Fingerprints, Manifest
from hornbook.runs.memory import explained_memory
from hornbook.tokenizers import Tokenizer, train_tokenizer


@dataclass(frozen=True)
class Batches:
    """What a run trains on and is measured on.

    Attributes:
        training: shuffled examples, or consecutive ones, by their place in the run.
        evaluation: the validation windows, or ``None`` without a validation side.
        store: the tokens that both are cut from.
    """

    training: TrainingBatches | ConsecutiveBatches | PackedBatches
    evaluation: EvaluationBatches | HeldWindows | None
    store: TokenStore

    @property
    def examples_per_epoch(self) -> int:
        """Training examples after which every one was used once."""
        return self.training.order.count


def read_corpus(config: RunConfig, *, listener: Listener = SILENT) -> tuple[RunConfig, CorpusSplit]:
    """Find the text and split it; returns the settings with every ``auto`` resolved.

    Raises:
        CorpusError: when the text cannot be found, read or split.
    """
    fraction = config.corpus.validation_fraction
    wanted = config.corpus
    if config.data.split == "window":  # all text trains; windows are held back from it later
        wanted = wanted.model_copy(update={"validation_fraction": 0.0})
    corpus = Corpus.open(wanted, listener=listener)
    split = split_corpus(corpus, config.seed, listener=listener)
    resolved = split.config.model_copy(update={"validation_fraction": fraction})
    return config.model_copy(update={"corpus": resolved}), split


def make_tokenizer(
    config: RunConfig, split: CorpusSplit, *, listener: Listener = SILENT
) -> Tokenizer:
    """Train the tokenizer that the settings describe on the text that they name.

    Raises:
        TokenizerError: when the text does not suffice.
    """
    everything = getattr(config.tokenizer, "vocabulary_from", "training") == "corpus"
    if everything:
        texts = (document.text for _, document in split.assigned())
    else:
        texts = (document.text for document in split.documents("training"))
    return train_tokenizer(config.tokenizer, texts, listener=listener)


def make_store(
    split: CorpusSplit, tokenizer: Tokenizer, *, listener: Listener = SILENT
) -> TokenStore:
    """The tokens of the split corpus, from the cache or made now; raises ``DataError``."""
    return _with_line_ids(cached_token_store(split, tokenizer, listener=listener), tokenizer)


def fingerprints(split: CorpusSplit, tokenizer: Tokenizer) -> Fingerprints:
    """What identifies the text, its split, the tokenizer and the tokens made from them."""
    facts = split.facts
    parts = (facts.corpus_fingerprint, facts.split_fingerprint, tokenizer.fingerprint)
    return Fingerprints(
        corpus=parts[0], split=parts[1], tokenizer=parts[2], tokens=store_fingerprint(*parts)
    )


def find_store(
    folder: RunFolder, config: RunConfig, manifest: Manifest, *, listener: Listener = SILENT
) -> tuple[RunConfig, TokenStore]:
    """The very tokens that a run was trained on: packed inside it, or made from its corpus.

    Returns the settings too, with the places of the text in a form that lasts.

    Raises:
        RunError: when corpus, split or tokenizer differ from the run's; each field is named.
        CorpusError: when the corpus is gone and its tokens are not cached either.
    """
    expected = manifest.fingerprints
    if expected is None and manifest.imported_from is not None:
        raise RunError(
            f"{folder.path} was imported and has no text of its own yet. Say what to train on: "
            f"hornbook train --from {folder.path} my-text.txt"
        )
    if expected is None:
        raise RunError(f"{folder.path} does not say what it was trained on; start it anew.")
    tokenizer = folder.read_tokenizer()
    if tokenizer.fingerprint != expected.tokenizer:
        raise RunError(
            f"{folder.tokenizer_file} is not the tokenizer that this run was trained with: its "
            f"fingerprint is {tokenizer.fingerprint[:12]}…, the manifest says "
            f"{expected.tokenizer[:12]}…. Put the original file back."
        )
    if folder.data.is_dir():
        store = TokenStore.open(folder.data)
        store.verify()
        _refuse_differences(folder, {"tokens": (expected.tokens, store.fingerprint)})
        return config, _with_line_ids(store, tokenizer)
    try:
        config, split = read_corpus(config, listener=listener)
    except CorpusError as error:
        store = _cached_without_corpus(expected, error, listener)
        return config, _with_line_ids(store, tokenizer)
    found = fingerprints(split, tokenizer)
    _refuse_differences(
        folder,
        {
            "corpus": (expected.corpus, found.corpus),
            "split": (expected.split, found.split),
            "tokens": (expected.tokens, found.tokens),
        },
    )
    return config, make_store(split, tokenizer, listener=listener)


def open_store(folder: RunFolder, manifest: Manifest) -> TokenStore:
    """The tokens of a run that another process has made ready just now; the text is not read.

    Raises:
        RunError: when they cannot be seen from here.
    """
    assert manifest.fingerprints is not None, "whoever made them ready wrote this down"
    tokens = manifest.fingerprints.tokens
    place = folder.data if folder.data.is_dir() else cached_store_folder(tokens)
    try:
        store = TokenStore.open(place)
    except DataError as error:
        raise RunError(
            f"The tokens of {folder.path} cannot be read: {error} All ranks need the same cache; "
            "set HORNBOOK_CACHE to a folder that every machine shares."
        ) from error
    return _with_line_ids(store, folder.read_tokenizer())


def make_batches(config: RunConfig, store: TokenStore) -> Batches:
    """Windows over the tokens, shuffled for training and in order for evaluation.

    Raises:
        DataError: when a side is too short for a single window.
    """
    length = config.context_length
    positions = Positions(
        config.data.positions,
        last_offset=config.position_count - length,
        seed=stream_seed(config.seed, "positions"),
    )
    training = _training_batches(config, store, positions)
    evaluation, sample = None, config.training.evaluation_windows
    if isinstance(training, TrainingBatches) and training.deal is not None:
        evaluation = HeldWindows(training, sample=sample)
    elif config.corpus.validation_fraction > 0:
        evaluation = EvaluationBatches(
            store.validation,
            length,
            sample=sample,
            seed=stream_seed(config.seed, "evaluation"),
            positions=positions,
        )
    return Batches(training, evaluation, store)


def _training_batches(
    config: RunConfig, store: TokenStore, positions: Positions
) -> TrainingBatches | ConsecutiveBatches | PackedBatches:
    sequence, seed = store.training, config.seed
    length, strategy = config.context_length, config.data.windows
    if strategy == "packed":
        assert store.line_ids is not None, "packed rows need the id of padding"
        windows = PackedWindows(sequence.document_ends, length, config.data.packing, seed)
        order = ExampleOrder(len(windows), seed)
        reset = config.data.reset_positions
        return PackedBatches(sequence, windows, order, store.line_ids.pad, positions, reset)
    if strategy == "stream":
        windows = StreamWindows(len(sequence), length, config.stride)
    else:
        windows = LineWindows(sequence.document_ends, length, config.stride, strategy)
    if config.training.carry_state:
        assert isinstance(windows, StreamWindows), "other windows are refused with the settings"
        rows = ConsecutiveOrder(len(windows), config.training.batch_size, seed)
        return ConsecutiveBatches(sequence, windows, rows)
    deal, fraction = None, config.corpus.validation_fraction
    if config.data.split == "window" and fraction:
        deal = WindowDeal.of_fraction(len(windows), fraction, stream_seed(seed, "split"))
    order = ExampleOrder(len(windows) - (deal.held if deal else 0), seed)
    return TrainingBatches(
        sequence, windows, order, positions, store.line_ids, deal, config.data.recut
    )


def make_model(config: RunConfig, tokenizer: Tokenizer) -> LanguageModel:
    """The model with its initial weights, on the CPU.

    Raises:
        ConfigError: when the vocabulary makes a bigram's table too large.
        RunError: when the model does not fit into memory.
    """
    if config.model.kind.startswith("bigram") and tokenizer.vocab_size**2 > LARGEST_TABLE:
        raise ConfigError(
            [
                Problem(
                    "tokenizer.vocab_size",
                    f"the vocabulary has {tokenizer.vocab_size:,} entries, too many for a bigram's "
                    f"table; use at most {int(LARGEST_TABLE**0.5):,}",
                )
            ]
        )
    remedy = "Choose less of model.d_model, model.layers, tokenizer.vocab_size or context_length."
    settings = config.model
    if isinstance(settings, TransformerConfig):
        settings = settings.model_copy(update={"position_count": config.position_count})
    with explained_memory("The model", remedy):
        return build_model(
            settings,
            vocab_size=tokenizer.vocab_size,
            context_length=config.context_length,
            seed=stream_seed(config.seed, "init"),
        )


def make_trainable(
    config: RunConfig, tokenizer: Tokenizer, *, listener: Listener = SILENT
) -> LanguageModel:
    """``make_model``'s model, with the tensors frozen that ``training.freeze`` names.

    Raises:
        ConfigError, RunError: as ``make_model``; or a name fits no tensor, or all are frozen.
    """
    model = make_model(config, tokenizer)
    if frozen := freeze(model, config.training.freeze):
        listener.notice(f"frozen by training.freeze: {', '.join(frozen)}")
    return model


def opening_id(config: RunConfig, tokenizer: Tokenizer) -> int:
    """The id that stands before a document's first token in training.

    A line begins with the start token; in a stream and in packed rows a document stands behind
    the end of another one.
    """
    by_line = config.data.windows not in {"stream", "packed"}
    return tokenizer.start_id if by_line else tokenizer.end_id


def make_optimizer(config: RunConfig, model: LanguageModel) -> torch.optim.Optimizer:
    """The optimizer over the model's weights; build it after the model is on its device."""
    plan = config.training
    return build_optimizer(model, plan.optimizer, plan.peak_learning_rate)


def _with_line_ids(store: TokenStore, tokenizer: Tokenizer) -> TokenStore:
    return replace(store, line_ids=LineIds(start=tokenizer.start_id, pad=tokenizer.pad_id))


def _cached_without_corpus(
    expected: Fingerprints, error: CorpusError, listener: Listener
) -> TokenStore:
    try:
        store = TokenStore.open(cached_store_folder(expected.tokens))
        store.verify()
    except DataError:
        raise error from None
    if store.fingerprint != expected.tokens:
        raise error
    listener.notice(f"the corpus is gone, but its tokens are cached: {store.folder}")
    return store


def _refuse_differences(folder: RunFolder, fields: dict[str, tuple[str, str]]) -> None:
    differing = [
        f"  {name}: the run has {expected[:12]}…, found {found[:12]}…"
        for name, (expected, found) in fields.items()
        if expected != found
    ]
    if differing:
        lines = "\n".join(differing)
        raise RunError(
            f"{folder.path} cannot go on, because what it was trained on has changed:\n{lines}\n"
            "Put the original text back (corpus.files=PATH if it moved), or start a new run."
        )
