"""The baseline: nanoGPT's documented CPU recipe, written anew as plainly as it runs there.

    model      4 layers, 4 heads, 128 wide, context 64, no dropout, no biases, tied head
    data       characters, the first 90 % train, windows that begin at random places
    optimizer  AdamW 1e-3, betas 0.9 and 0.99, decay 0.1 on matrices, clipping at 1
    schedule   100 steps of warm-up, then a cosine to 1e-4 at step 2,000; 12 windows a step

Its linear maps, its attention and its optimizer are PyTorch's own, in float32, as nanoGPT calls
them on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
STEPS, WARMUP, PEAK, LOWEST = 2000, 100, 1e-3, 1e-4
TRAINING_SHARE = 0.9


@dataclass(frozen=True)
class Characters:
    """A text as numbers, a number for each different character.

    Attributes:
        training: [tokens] ``int64``, the first nine tenths.
        validation: [tokens] ``int64``, the rest.
        count: how many different characters there are.
    """

    training: np.ndarray
    validation: np.ndarray
    count: int

    @classmethod
    def of(cls, text: str) -> Characters:
        """Number the characters of ``text`` in their order.

        >>> Characters.of("banana bans").validation.tolist(), Characters.of("banana").count
        ([3, 4], 3)
        """
        alphabet = sorted(set(text))
        numbers = {character: number for number, character in enumerate(alphabet)}
        ids = np.array([numbers[character] for character in text], dtype=np.int64)
        border = int(len(ids) * TRAINING_SHARE)
        return cls(ids[:border], ids[border:], len(alphabet))


class Block(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and beside the residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(WIDTH, bias=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.norm_2 = nn.LayerNorm(WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, time, width] to the same shape."""
        batch, time, width = x.shape
        query, key, value = (
            part.view(batch, time, HEADS, width // HEADS).transpose(1, 2)
            for part in self.qkv(self.norm_1(x)).split(width, dim=2)
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).contiguous().view(batch, time, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Baseline(nn.Module):
    """The model with its initial weights, drawn from PyTorch's global stream."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(characters, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.last_norm = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                writes = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * LAYERS) if writes else 1))

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Both [batch, time] ``int64``, to the mean loss over all targets [nats]."""
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.last_norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class BaselineTraining:
    """The model, its optimizer and the text; ``step`` trains once.

    Args:
        text: what to train on.
        seed: of weights and windows.
    """

    def __init__(self, text: Characters, seed: int) -> None:
        torch.manual_seed(seed)
        self.text, self.model, self.done = text, Baseline(text.count), 0
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))

    def step(self) -> None:
        """One step of training, as nanoGPT takes it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.done)
        loss = self.model(*self.windows())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss.item()
        self.done += 1

    def windows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and targets of a batch, both [batch, context]."""
        ids = self.text.training
        starts = torch.randint(len(ids) - CONTEXT, (BATCH,)).tolist()
        tokens = torch.stack([torch.from_numpy(ids[s : s + CONTEXT]) for s in starts])
        targets = torch.stack([torch.from_numpy(ids[s + 1 : s + 1 + CONTEXT]) for s in starts])
        return tokens, targets

    @torch.inference_mode()
    def validation_loss(self) -> float:
        """The mean loss over the whole validation part, in windows that touch [nats]."""
        ids = torch.from_numpy(self.text.validation)
        count = (len(ids) - 1) // CONTEXT
        tokens = ids[: count * CONTEXT].view(count, CONTEXT)
        targets = ids[1 : count * CONTEXT + 1].view(count, CONTEXT)
        total = 0.0
        for first in range(0, count, 128):
            rows = slice(first, first + 128)
            total += float(self.model(tokens[rows], targets[rows])) * len(tokens[rows])
        return total / count


def learning_rate(step: int) -> float:
    """The learning rate of ``step``, counted from 0.

    >>> f"{learning_rate(0):.1e} {learning_rate(99):.1e} {learning_rate(STEPS):.1e}"
    '9.9e-06 9.9e-04 1.0e-04'
    """
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    progress = (step - WARMUP) / (STEPS - WARMUP)
    return LOWEST + 0.5 * (1 + math.cos(math.pi * progress)) * (PEAK - LOWEST)
