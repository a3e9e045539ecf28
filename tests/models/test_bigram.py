"""The two bigrams: the counted one is right by hand, the trained one approaches it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from hornbook.models import Bigram, BigramConfig, BigramCounts, BigramCountsConfig, build_model


def test_counts_become_smoothed_probabilities() -> None:
    model = BigramCounts(BigramCountsConfig(smoothing=0.5), vocab_size=3)
    model.fit(torch.tensor([[0, 3, 1], [2, 0, 0], [0, 0, 0]]))
    logits, state = model(torch.tensor([[0, 1, 2]]), model.init_state(1))
    expected = torch.tensor(
        [[0.5 / 5.5, 3.5 / 5.5, 1.5 / 5.5], [2.5 / 3.5, 0.5 / 3.5, 0.5 / 3.5], [1 / 3] * 3]
    )
    torch.testing.assert_close(logits[0].exp(), expected)
    assert state == ()


def test_both_start_with_every_token_equally_likely() -> None:
    for config in (BigramConfig(), BigramCountsConfig()):
        model = build_model(config, vocab_size=11, context_length=8, seed=1)
        logits, _ = model(torch.arange(11).unsqueeze(0))
        loss = F.cross_entropy(logits[0], torch.arange(11)).item()
        assert math.isclose(loss, math.log(11), rel_tol=1e-6)


def test_the_trained_bigram_approaches_the_counted_one() -> None:
    ids = torch.randint(0, 5, (4000,), generator=torch.Generator().manual_seed(2))
    ids[1::2] = (ids[::2] * 2) % 5  # a rule for it to find
    counted = BigramCounts(BigramCountsConfig(smoothing=1e-3), vocab_size=5)
    pairs = torch.bincount(ids[:-1] * 5 + ids[1:], minlength=25).view(5, 5)
    counted.fit(pairs)
    trained = Bigram(BigramConfig(), vocab_size=5)
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.1)
    losses = []
    for _ in range(200):
        logits, _ = trained(ids[None, :-1])
        loss = F.cross_entropy(logits[0], ids[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    best = F.cross_entropy(counted(ids[None, :-1])[0][0], ids[1:]).item()
    # Both are means in float32, whose order of summing depends on how many threads there are.
    assert -1e-6 <= losses[-1] - best < 1e-3
    assert trained.parameter_count() == counted.parameter_count() == 25
