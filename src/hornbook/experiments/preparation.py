"""The text of a study, read once: cells that agree on corpus and tokenizer share both.

Ordinary runs each read their corpus and train their tokenizer. A study has dozens of runs on one
text, so it does this once for each different pair of settings and hands it to all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hornbook.corpora import CorpusConfig, CorpusSplit
from hornbook.data import Positions, TokenStore
from hornbook.data.full_context import LinesAlone, RunningText
from hornbook.errors import RunError
from hornbook.listener import SILENT, Listener
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import make_store, make_tokenizer, opening_id, read_corpus
from hornbook.runs.config import RunConfig
from hornbook.tokenizers import Tokenizer
from hornbook.training.warm_start import borrowed_tokenizer


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a cell is trained on.

    Attributes:
        config: the cell's settings, with every ``auto`` of the corpus resolved.
        split: the text and its sides.
        tokenizer: trained on it.
        store: its tokens.
    """

    config: RunConfig
    split: CorpusSplit
    tokenizer: Tokenizer
    store: TokenStore


class Preparation:
    """Makes what cells are trained on, and remembers it.

    Args:
        listener: who watches.
    """

    def __init__(self, listener: Listener = SILENT) -> None:
        self._listener = listener
        self._corpora: dict[str, tuple[CorpusConfig, CorpusSplit]] = {}
        self._texts: dict[str, tuple[Tokenizer, TokenStore]] = {}

    def of(self, config: RunConfig) -> Prepared:
        """The text of a cell.

        Raises:
            CorpusError, TokenizerError, DataError: as in an ordinary run.
            RunError: when no text is kept for validation.
        """
        if not config.corpus.validation_fraction:
            raise RunError(
                "A study measures its cells on validation text, and corpus.validation_fraction=0 "
                "keeps none. Give it more, such as 0.1."
            )
        if config.data.split == "window":
            raise RunError(
                "A study measures its cells on text that none was trained on, and "
                "data.split=window trains on all of it. Use data.split=text."
            )
        if config.training.batch_ramp.start:
            raise RunError(
                "A study trains every cell with a batch of its own size, so it cannot have "
                "training.batch_ramp.start."
            )
        # Only a random split depends on the seed.
        seed = config.seed if config.corpus.split == "random" else ""
        corpus_key = f"{seed} {config.corpus.model_dump_json()}"
        if corpus_key not in self._corpora:
            found, split = read_corpus(config, listener=self._listener)
            resolved_key = f"{seed} {found.corpus.model_dump_json()}"
            self._corpora[corpus_key] = self._corpora[resolved_key] = found.corpus, split
        corpus, split = self._corpora[corpus_key]
        config = config.model_copy(update={"corpus": corpus})
        origin = config.training.init_from
        text_key = f"{split.facts.split_fingerprint} {config.tokenizer.model_dump_json()} {origin}"
        if text_key not in self._texts:
            tokenizer = borrowed_tokenizer(config, self._listener)
            tokenizer = tokenizer or make_tokenizer(config, split, listener=self._listener)
            self._texts[text_key] = (
                tokenizer,
                make_store(split, tokenizer, listener=self._listener),
            )
        tokenizer, store = self._texts[text_key]
        return Prepared(config, split, tokenizer, store)


def validation_windows(
    config: RunConfig, prepared: Prepared, *, sample: int, seed: int, measures: Sequence[str]
) -> dict[str, LinesAlone | RunningText]:
    """What a cell is measured on, by the name of the measure; running text is always among it.

    Args:
        config: the cell's settings.
        prepared: its text.
        sample: how many targets each measure uses; 0 means all.
        seed: picks them; the same for all cells of a study, and for all its seeds.
        measures: the measures of the study; ``lines`` is made where it is one.
    """
    tokenizer, sequence = prepared.tokenizer, prepared.store.validation
    positions = Positions(
        config.data.positions, last_offset=config.position_count - config.context_length
    )
    drawn = {"sample": sample, "seed": stream_seed(seed, "evaluation"), "positions": positions}
    found: dict[str, LinesAlone | RunningText] = {
        "running_text": RunningText(sequence, config.context_length, **drawn)
    }
    if "lines" in measures:
        found["lines"] = LinesAlone(
            sequence,
            config.context_length,
            before=opening_id(config, tokenizer),
            pad=tokenizer.pad_id,
            **drawn,
        )
    return found
