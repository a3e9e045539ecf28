"""Settings: layers in order, every mistake in one report, and TOML that reads back."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hornbook.errors import ConfigError, Problem
from hornbook.runs.config import RunConfig
from hornbook.runs.config_text import config_text
from hornbook.runs.resolution import check, differences, preset_names, resolve, settings_keys


def problems_of(*words: str, preset: str | None = "small") -> dict[str, Problem]:
    with pytest.raises(ConfigError) as caught:
        resolve(preset=preset, overrides=words)
    return {problem.key: problem for problem in caught.value.problems}


def test_layers_win_in_order(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 5\n[model]\nlayers = 3\n[training]\nsteps = 77\n")
    config = resolve(preset="tiny", file=file, overrides=["training.steps=88"])
    assert (config.context_length, config.seed) == (32, 5)
    assert (config.model.layers, config.training.steps) == (3, 88)  # type: ignore[union-attr]
    assert config.training.optimizer.beta2 == RunConfig().training.optimizer.beta2


def test_words_and_mappings_say_the_same() -> None:
    words = ["model.layers=2", "training.learning_rate=1e-4", "data.stride=8"]
    nested = {"model": {"layers": 2}, "training.learning_rate": 1e-4, "data": {"stride": 8}}
    assert resolve(preset="tiny", overrides=words) == resolve(preset="tiny", overrides=nested)


def test_the_length_of_a_window_is_the_context_of_the_run(tmp_path: Path) -> None:
    expected = resolve(preset="tiny", overrides=["context_length=48", "data.stride=8"])
    file = tmp_path / "mine.toml"
    file.write_text("[data]\ncontext_length = 48\nstride = 8\n")
    assert resolve(preset="tiny", file=file) == expected
    words = ["data.context_length=48", "data.stride=8"]
    assert resolve(preset="tiny", overrides=words) == expected
    assert resolve(preset="tiny", overrides=[*words, "context_length=48"]) == expected
    nested = {"data": {"context_length": 48, "stride": 8}}
    assert resolve(preset="tiny", overrides=nested) == expected
    assert resolve(file=file, overrides=["data.context_length=9"]).context_length == 9
    found = problems_of("data.context_length=64", "context_length=32", "seeed=3")
    assert set(found) == {"data.context_length", "seeed"}
    assert found["data.context_length"].value == "64"
    assert "context_length, which is 32" in found["data.context_length"].message
    assert set(problems_of("data.context_length=many")) == {"context_length"}


def test_lists_are_words_or_toml() -> None:
    assert resolve(overrides=["corpus.files=a.txt"]).corpus.files == ("a.txt",)
    assert resolve(overrides=['corpus.files=["a.txt", "b"]']).corpus.files == ("a.txt", "b")
    assert resolve(overrides=["sampling.stop="]).sampling.stop == ()
    assert "sampling.stop" in problems_of('sampling.stop=["a"')


def test_a_new_kind_keeps_what_it_knows_and_drops_the_rest() -> None:
    config = resolve(preset="small", overrides=["model.kind=bigram", "tokenizer.kind=word"])
    assert config.model.model_dump() == {"kind": "bigram"}
    assert config.tokenizer.kind == "word"
    assert config.tokenizer.vocab_size == resolve(preset="small").tokenizer.vocab_size  # type: ignore[union-attr]


def test_all_mistakes_come_in_one_report() -> None:
    found = problems_of(
        "model.layer=6", "model.heads=7", "training.steps=-1", "training.batch_size=many",
        "seeed=3", "data.stride=4096", "training.schedule.warmup_steps=5000",
    )  # fmt: skip
    assert set(found) == {
        "model.layer", "model.heads", "training.steps", "training.batch_size", "seeed",
        "data.stride", "training.schedule.warmup_steps",
    }  # fmt: skip
    assert found["model.layer"].nearest == "model.layers"
    assert found["seeed"].nearest == "seed"
    assert "greater than or equal to 1" in found["training.steps"].message
    assert found["training.steps"].value == "-1"
    assert "d_model (128)" in found["model.heads"].message


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("model.kv_heads=3", "does not divide heads"),
        ("training.micro_batch_size=1000", "larger than training.batch_size"),
        ("model.dropout=1.5", "less than 1"),
        ("training.learning_rate=0", "greater than 0"),
        ("training.learning_rate=inf", "finite"),
        ("training.device=gpu", "cuda:N"),
        ("tokenizer.vocab_size=3", "257"),
        ("tokenizer.pattern=gpt3", "gpt2"),
        ("corpus.validation_fraction=1", "less than 1"),
        ("corpus.separator=", "at least 1"),
        ("model.positions=roatry", "learned"),
        ("sampling.top_p=0", "greater than 0"),
        ("sampling.temperature=-1", "greater than or equal to 0"),
        ("context_length=0", "greater than or equal to 1"),
    ],
)
def test_values_that_cannot_be(word: str, part: str) -> None:
    found = problems_of(word)
    key = word.partition("=")[0]
    assert part in found[key].message


def test_an_unknown_kind_names_the_kinds() -> None:
    problem = problems_of("model.kind=transfomer")["model.kind"]
    assert "bigram_counts" in problem.message
    assert problem.nearest == "transformer"
    assert "adamw" in problems_of("training.optimizer.kind=adam")["training.optimizer.kind"].message


def test_a_key_of_another_kind_says_so() -> None:
    problem = problems_of("model.kind=bigram", "model.layers=3")["model.layers"]
    assert "model.kind=bigram" in problem.message


def test_a_group_is_no_value() -> None:
    assert "group" in problems_of("model=3")["model"].message


def test_a_word_without_equals_is_no_setting() -> None:
    assert "key=value" in problems_of("model.layers")["model.layers"].message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    broken, binary = tmp_path / "broken.toml", tmp_path / "binary.toml"
    broken.write_text("a = = 3")
    binary.write_bytes(b"\xff\xfe")
    for file, part in ((broken, "TOML"), (binary, "UTF-8"), (tmp_path / "none", "No such file")):
        with pytest.raises(ConfigError, match=part):
            resolve(file=file)


def test_unknown_preset_names_the_presets() -> None:
    with pytest.raises(ConfigError, match="characters, gpt2, gpt2-xl-swiglu, nanogpt-cpu, small"):
        resolve(preset="smal")


def test_a_bigram_needs_a_table_that_fits() -> None:
    found = problems_of("model.kind=bigram", preset="gpt2")
    assert "table" in found["tokenizer.vocab_size"].message


@pytest.mark.parametrize("preset", preset_names())
def test_presets_resolve_and_text_reads_back(preset: str) -> None:
    config = resolve(preset=preset)
    for other_kinds in (False, True):
        text = config_text(config, other_kinds=other_kinds)
        assert check(tomllib.loads(text)) == config


def test_text_keeps_strange_values() -> None:
    config = resolve(
        overrides={
            "sampling.stop": ('"', "\n\t\\", "\x7f é 🙂"),
            "training.sample_prompt": "'''\r\n[not.a.table]",
            "corpus.files": ("a b", "ü[1]"),
            "training.learning_rate": 1e-7,
        }
    )
    assert check(tomllib.loads(config_text(config))) == config


def test_every_setting_has_a_help_text() -> None:
    text = config_text(RunConfig(), other_kinds=True)
    for key, _ in settings_keys(RunConfig()):
        assert key.rpartition(".")[2] in text
    lines = text.splitlines()
    for above, line in zip(lines, lines[1:], strict=False):
        if " = " in line and not line.lstrip("# ").startswith(("with", "kind")):
            assert above.lstrip().startswith("#"), f"no help above: {line}"


def test_every_setting_is_read_somewhere() -> None:
    """A setting that nothing reads is a defect: its name must occur outside its declaration."""
    source = Path(__file__).resolve().parents[2] / "src" / "hornbook"
    code = "\n".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    names = {key.rpartition(".")[2] for key, _ in settings_keys(RunConfig())}
    for kind in ("byte", "char", "word"):
        names |= {
            key.rpartition(".")[2]
            for key, _ in settings_keys(resolve(overrides=[f"tokenizer.kind={kind}"]))
        }
    for kind in ("bigram", "bigram_counts"):
        names |= {
            key.rpartition(".")[2]
            for key, _ in settings_keys(resolve(overrides=[f"model.kind={kind}"]))
        }
    unread = [
        name for name in sorted(names) if code.count(f".{name}") + code.count(f'"{name}"') < 1
    ]
    assert not unread


def test_differences_list_old_and_new() -> None:
    old, new = resolve(preset="tiny"), resolve(preset="tiny", overrides=["model.kind=bigram"])
    changed = differences(old, new)
    assert changed["model.kind"] == ("transformer", "bigram")
    assert changed["model.layers"] == (2, None)
    assert "seed" not in changed
    assert differences(old, old) == {}
