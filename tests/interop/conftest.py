"""Small models of ``transformers`` with random weights, in folders that it wrote itself."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.formats.huggingface import write_huggingface

Save = Callable[..., Path]

GPT2_SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "n_positions": 24,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 299,
    "eos_token_id": 299,
}
LLAMA_SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "max_position_embeddings": 24,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 299,
    "eos_token_id": 299,
}


@pytest.fixture(scope="session")
def small_tokenizer(text: str) -> BPETokenizer:
    """Three hundred entries learned from the small corpus."""
    return BPETokenizer.train([text], vocab_size=300)


@pytest.fixture(scope="session")
def transformers() -> Any:
    """The library, or the reason why a test does not run."""
    return pytest.importorskip(
        "transformers", reason="transformers is in the extra dev, and is not installed"
    )


@pytest.fixture
def save_gpt2(transformers: Any, small_tokenizer: BPETokenizer, tmp_path: Path) -> Save:
    """``save_gpt2(n_head=2)`` writes a model and its tokenizer, and gives the folder."""

    def save(name: str = "theirs", max_shard_size: str = "1GB", **changes: Any) -> Path:
        config = transformers.GPT2Config(**{**GPT2_SIZES, **changes})
        model = with_random_weights(transformers.GPT2LMHeadModel, config)
        folder = tmp_path / name
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        write_huggingface(small_tokenizer, folder / "tokenizer.json")
        return folder

    return save


@pytest.fixture
def save_llama(transformers: Any, small_tokenizer: BPETokenizer, tmp_path: Path) -> Save:
    """``save_llama(num_key_value_heads=1)`` writes a model and its tokenizer."""

    def save(name: str = "theirs", max_shard_size: str = "1GB", **changes: Any) -> Path:
        config = transformers.LlamaConfig(**{**LLAMA_SIZES, **changes})
        model = with_random_weights(transformers.LlamaForCausalLM, config)
        folder = tmp_path / name
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        write_huggingface(small_tokenizer, folder / "tokenizer.json")
        return folder

    return save


def with_random_weights(kind: Any, config: Any) -> Any:
    """A model in which nothing is zero or one: biases, gains and positions count too."""
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(11)
        model = kind(config).eval()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter + 0.08 * noise)
    return model


@pytest.fixture
def ids() -> Any:
    """Two rows of random ids, [2, 20]."""
    import torch

    draw = random.Random(5)
    return torch.tensor([[draw.randrange(300) for _ in range(20)] for _ in range(2)])


@pytest.fixture(scope="session")
def gpt2_files() -> Path:
    """Where GPT-2's own vocabulary may lie beside the project."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "vocabularies"
    if not folder.is_dir():
        pytest.skip("needs ../shared with published vocabularies, which is absent here")
    return folder
