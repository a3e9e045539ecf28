"""How text is drawn from a model: the settings of every decoding rule.

Each rule is off by default, but for the temperature. What a rule computes stands in ``rules``, and
the order in which they apply in ``chooser``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from hornbook.errors import Problem
from hornbook.generation.byte_automaton import WithoutTexts
from hornbook.generation.byte_pattern import pattern_texts
from hornbook.settings import Settings


class SamplingConfig(Settings):
    """How text is drawn from a model."""

    max_tokens: int = Field(default=200, ge=0)
    """The most tokens to add to the prompt [tokens]."""

    min_tokens: int = Field(default=0, ge=0)
    """The fewest: before, the end token and the end of a stop text are impossible [tokens]."""

    temperature: float = Field(default=0.8, ge=0, le=100)
    """Divides the logits: below 1 is safer, above 1 is wilder, 0 always takes the likeliest."""

    top_k: int = Field(default=0, ge=0)
    """Keep only this many of the likeliest tokens; 0 keeps all [tokens]."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Keep the likeliest tokens that together have this probability; 1 keeps all."""

    min_p: float = Field(default=0.0, ge=0, le=1)
    """Keep tokens at least this many times as probable as the likeliest; 0 keeps all."""

    typical_p: float = Field(default=1.0, gt=0, le=1)
    """Keep the tokens whose surprise is closest to the one expected here, until together they have
    this probability; 1 keeps all."""

    repetition_penalty: float = Field(default=1.0, gt=0, le=100)
    """Divides the positive logits of tokens that prompt or text hold already, and multiplies the
    negative ones; 1 leaves them."""

    presence_penalty: float = Field(default=0.0, ge=-100, le=100)
    """Taken off the logits of tokens that the text, without the prompt, holds already."""

    frequency_penalty: float = Field(default=0.0, ge=-100, le=100)
    """The same for each time that the text holds them."""

    no_repeat_ngram: int = Field(default=0, ge=0, le=1000)
    """No run of so many tokens comes twice in prompt and text; 0 allows it [tokens]."""

    logit_bias: tuple[tuple[int, float], ...] = ()
    """Added to the logits of single tokens: pairs of an id and a number, as words ID=NUMBER."""

    pattern: str = ""
    """A regular expression that the text, without the prompt, matches from beginning to end."""

    allowed: tuple[str, ...] = ()
    """The text, without the prompt, is one of these."""

    banned: tuple[str, ...] = ()
    """None of these stands in the text, however it is cut into tokens."""

    stop: tuple[str, ...] = ()
    """End a sample where one of these texts would appear; the text itself is left out."""

    add_start: bool = False
    """Whether the start token is put before a prompt, as models like Llama 3 expect; an empty
    prompt begins with it in any case."""

    stop_at_end: bool = True
    """Whether the end token ends a sample."""

    seed: int = Field(default=0, ge=0)
    """Seed of the draws; sample i of any batch depends only on this seed and i."""

    samples: int = Field(default=1, ge=1, le=4096)
    """How many texts to draw for the prompt."""

    alternatives: int = Field(default=0, ge=0, le=1000)
    """How many of the likeliest tokens to tell beside each one that was chosen."""

    overflow: Literal["restart", "slide", "stop"] = "restart"
    """What happens when a text is longer than the context. restart: the model reads the newest half
    afresh. slide: what it remembers of the newest half is kept and the rest forgotten, which needs
    positions=rotary, alibi or none. stop: the text ends there."""

    @field_validator("stop", "banned", "allowed")
    @classmethod
    def _texts(cls, texts: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
        if "" in texts:
            kind = "an" if field.field_name == "allowed" else "a"
            raise ValueError(f"{kind} {field.field_name} text must not be empty")
        for text in texts:
            _refuse_half_characters(text)
        return texts

    @field_validator("pattern")
    @classmethod
    def _a_pattern(cls, pattern: str) -> str:
        _refuse_half_characters(pattern)
        if pattern:
            pattern_texts(pattern)
        return pattern

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _biases(cls, given: Any) -> Any:
        """Take ``{262: -5}`` and ``["262=-5"]`` as well."""
        if isinstance(given, Mapping):
            return tuple(given.items())
        if isinstance(given, list | tuple):
            return tuple(_pair(each) if isinstance(each, str) else each for each in given)
        return given

    @field_validator("logit_bias")
    @classmethod
    def _biases_in_reach(
        cls, pairs: tuple[tuple[int, float], ...]
    ) -> tuple[tuple[int, float], ...]:
        if any(token < 0 or abs(bias) > 100 for token, bias in pairs):
            raise ValueError("an id is not negative, and a bias lies between -100 and 100")
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a token has two biases")
        return pairs

    def conflicts(self) -> Iterator[Problem]:
        """See ``Settings.conflicts``."""
        if self.min_tokens > self.max_tokens:
            yield Problem(
                "min_tokens",
                f"is more than max_tokens={self.max_tokens}; use at most that",
                str(self.min_tokens),
            )
        if self.pattern and self.allowed:
            yield Problem(
                "allowed", "says which texts there are, and so does pattern; use one of the two"
            )
        without = WithoutTexts(self.banned)
        if self.allowed and not any(map(without.holds, self.allowed)):
            yield Problem("banned", "stands in each of the allowed texts, so that none is left")

    def misfits(self, vocab_size: int) -> Iterator[Problem]:
        """Yield what does not fit to a vocabulary of ``vocab_size`` tokens."""
        if self.top_k > vocab_size:
            yield Problem(
                "top_k",
                f"is larger than the vocabulary ({vocab_size} tokens); use a smaller one, or 0 to "
                "keep all",
                str(self.top_k),
            )
        for token, bias in self.logit_bias:
            if token >= vocab_size:
                yield Problem(
                    "logit_bias",
                    f"{token} is no id of this vocabulary, which has 0 to {vocab_size - 1}",
                    f"{token}={bias:g}",
                )


def _refuse_half_characters(text: str) -> None:
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("holds half of a character (a lone surrogate), which no text does")


def _pair(word: str) -> tuple[str, str]:
    """``"262=-5"`` as an id and its bias, still to be read as numbers."""
    token, separator, bias = word.partition("=")
    if not separator:
        raise ValueError(f"{word!r} is no pair of an id and a number; write ID=NUMBER, as 262=-5")
    return token.strip(), bias.strip()
