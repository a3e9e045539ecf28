"""Texts that are written together, each piece given out as soon as it is certain.

    writer = Writer(model, tokenizer)
    writer.join("Once", SamplingConfig(samples=2))
    while len(writer):
        for line, piece in writer.step():
            print(line.sample, piece.text)

What ``Decoder`` does with tokens, this does with text: prompts in, pieces out, and an end where
the end token, a stop text or the length says so. ``join`` and ``leave`` may be called between any
two steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hornbook.generation.decoder import Decoder, Row, Token
from hornbook.generation.endings import Ending
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.text_stream import TextStream
from hornbook.generation.vocabulary import vocabulary_of
from hornbook.models import LanguageModel
from hornbook.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that one of the samples has just become certain of.

    Attributes:
        sample: which sample of its prompt, from 0.
        text: the new text; never half a character, never a part of a stop text.
        ending: why the sample ends here, or ``None`` while it goes on.
        prompt: which of the prompts, from 0.
        tokens: the tokens that were chosen since the piece before, with their log-probabilities.
            Those whose text is not certain yet come with the piece that makes it so; an end token
            and those of a stop text are among the last.
    """

    sample: int
    text: str
    ending: Ending | None = None
    prompt: int = 0
    tokens: tuple[Token, ...] = ()


@dataclass(eq=False, slots=True)
class Line:
    """One text that is being written: what ``Writer.join`` hands out.

    Attributes:
        prompt: which of the prompts.
        sample: which sample of this prompt.
        config: its rules.
    """

    prompt: int
    sample: int
    config: SamplingConfig
    _row: Row | None = field(repr=False)
    _text: TextStream = field(repr=False)
    _waiting: list[Token] = field(default_factory=list, repr=False)


class Writer:
    """Writes texts together; each is the same as it would be alone.

    Args:
        model: any language model.
        tokenizer: its tokenizer.
        opening: the id that an empty prompt begins with; the tokenizer's start unless given.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        *,
        opening: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._opening = tokenizer.start_id if opening is None else opening
        self._decoder = Decoder(model, vocabulary_of(tokenizer))
        self._lines: dict[Row, Line] = {}
        self._ended: list[Line] = []

    def __len__(self) -> int:
        """How many texts are not at their end."""
        return len(self._lines) + len(self._ended)

    def prompt_ids(self, prompt: str, config: SamplingConfig) -> list[int]:
        """The tokens that a text goes on from; at least one."""
        return self._tokenizer.encode(prompt, add_start=config.add_start) or [self._opening]

    def check(self, prompt: str | Sequence[int], config: SamplingConfig) -> None:
        """Raise what ``join`` would, and change nothing."""
        ids = self.prompt_ids(prompt, config) if isinstance(prompt, str) else prompt
        self._decoder.check(ids, config)

    def join(
        self,
        prompt: str | Sequence[int],
        config: SamplingConfig,
        *,
        number: int = 0,
        samples: Sequence[int] | None = None,
    ) -> list[Line]:
        """Begin texts that go on from ``prompt``; it is read here, before the next step.

        Args:
            prompt: the beginning, as text or as what ``prompt_ids`` made of it.
            config: the rules.
            number: what the pieces call this prompt.
            samples: which samples to draw; the first ``config.samples`` unless given.

        Raises:
            GenerationError: when a setting does not fit the model.
            TokenizerError: when the prompt is no Unicode text.
        """
        ids = self.prompt_ids(prompt, config) if isinstance(prompt, str) else prompt
        wanted = range(config.samples) if samples is None else samples
        self._decoder.check(ids, config)
        if not config.max_tokens:
            lines = [Line(number, sample, config, None, TextStream()) for sample in wanted]
            self._ended += lines
            return lines
        lines = []
        for row in self._decoder.join(ids, config, wanted):
            line = Line(number, row.sample, config, row, TextStream(config.stop))
            self._lines[row] = line
            lines.append(line)
        return lines

    def leave(self, line: Line) -> None:
        """Drop a text that nobody waits for; one that is at its end may be dropped again."""
        if line in self._ended:
            self._ended.remove(line)
        elif line._row in self._lines:
            self._drop(line._row)

    def step(self) -> list[tuple[Line, Piece]]:
        """One token more for each text.

        Returns:
            what became certain, in the order in which the texts joined; the last piece of a text,
            and no other, has an ending.
        """
        found = [(line, Piece(line.sample, "", "length", line.prompt)) for line in self._ended]
        self._ended.clear()
        for row, token in self._decoder.step().items():
            line = self._lines[row]
            piece = self._take(line, row, token)
            if piece is None:
                continue
            found.append((line, piece))
            if piece.ending is not None:
                self._drop(row)
        return found

    def _drop(self, row: Row) -> None:
        del self._lines[row]
        self._decoder.leave(row)

    def _take(self, line: Line, row: Row, token: Token | None) -> Piece | None:
        """What one more token makes certain."""
        config, text = line.config, line._text
        if token is None:
            return self._piece(line, text.finish(), "stuck")
        if token.is_broken:
            return self._piece(line, text.finish(), "broken")
        line._waiting.append(token)
        if config.stop_at_end and token.id == self._tokenizer.end_id:
            return self._piece(line, text.finish(), "end")
        new = text.feed(self._tokenizer.token_bytes(token.id))
        if text.stopped:
            return self._piece(line, new, "stop")
        if self._decoder.is_complete(row):
            return self._piece(line, new + text.finish(), "complete")
        written = len(row.tokens) - row.prompt_length
        if written == config.max_tokens or self._decoder.is_full(row):
            new += text.finish()
            return self._piece(line, new, "stop" if text.stopped else "length")
        return self._piece(line, new, None) if new else None

    def _piece(self, line: Line, text: str, ending: Ending | None) -> Piece:
        tokens = tuple(line._waiting)
        line._waiting.clear()
        return Piece(line.sample, text, ending, line.prompt, tokens)
