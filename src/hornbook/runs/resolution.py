"""From a preset, a TOML file and ``key=value`` words to one ``RunConfig``, in that order.

    config = resolve(preset="small", overrides=["model.layers=6", "training.steps=500"])

Later layers win. A layer that changes a room's ``kind`` keeps of the earlier layers what the
new kind also knows (``model.d_model``) and drops what it does not. Everything that is wrong is
reported at once: unknown keys with the nearest valid one, wrong types, values out of
range, and values that do not fit together.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hornbook.errors import ConfigError, Problem
from hornbook.runs.config import RunConfig
from hornbook.settings import as_written

Layer = dict[str, Any]
"""Settings as nested dictionaries, one level a room."""
LISTS = {
    "corpus.files",
    "sampling.allowed",
    "sampling.banned",
    "sampling.logit_bias",
    "sampling.stop",
    "training.freeze",
    "training.log_to",
    "training.optimizer.decayed",
}
"""Settings that are lists; a word for one may be a single item or a list as TOML writes it."""
OTHER_NAMES = {"data.context_length": "context_length"}
"""Names by which a setting may also be given: windows have a length, though the run holds it."""
Overrides = Sequence[str] | Mapping[str, Any]
"""``key=value`` words, or a mapping of keys (dotted or nested) to values."""


def preset_names() -> list[str]:
    """The built-in presets, by name."""
    folder = resources.files("hornbook.runs") / "presets"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def preset_text(name: str) -> str:
    """The TOML text of a built-in preset.

    Raises:
        ConfigError: when there is none of that name.
    """
    names = preset_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ConfigError(
            [
                Problem(
                    "preset",
                    f"there is no such preset; there are {', '.join(names)}.",
                    name,
                    near[0] if near else None,
                )
            ]
        )
    return (resources.files("hornbook.runs") / "presets" / f"{name}.toml").read_text("utf-8")


def resolve(
    *,
    preset: str | None = None,
    file: Path | None = None,
    overrides: Overrides = (),
    base: RunConfig | None = None,
) -> RunConfig:
    """Lay a preset, a file and overrides over each other and check the whole.

    Args:
        preset: the name of a built-in preset.
        file: a TOML file of settings.
        overrides: what a person sets by hand.
        base: settings to start from instead of the defaults, such as those of a run.

    Raises:
        ConfigError: with every problem found.
    """
    layers: list[Layer] = []
    if preset is not None:
        layers.append(tomllib.loads(preset_text(preset)))
    if file is not None:
        layers.append(_read_file(file))
    layers.append(_override_layer(overrides))
    merged: Layer = base.model_dump() if base is not None else _default_kinds()
    for layer in layers:
        _use_names_of_fields(layer)
        _merge(merged, layer)
    return check(merged)


def check(settings: Layer) -> RunConfig:
    """Turn nested dictionaries into a ``RunConfig``.

    Raises:
        ConfigError: with every problem, those of single values and those between values.
    """
    problems: list[Problem] = []
    failed: set[str] = set()
    while True:
        try:
            config = RunConfig.model_validate(settings)
            break
        except ValidationError as error:
            # Take out what is wrong and look at the rest again, so that values which do
            # not fit together are found in the same report.
            for details in error.errors(include_url=False, include_context=False):
                path = _path(details)
                problems.append(_problem(path, details, settings))
                failed.add(".".join(path))
                _remove(settings, path)
    for problem in config.conflicts():
        if problem.key not in failed:
            problems.append(problem)
    if problems:
        raise ConfigError(problems)
    return config


def settings_keys(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of ``config`` with its value, in order of declaration."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from settings_keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def differences(old: RunConfig, new: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, each with the old and the new value.

    A key that only one of them has (because a ``kind`` changed) shows ``None`` for the other.
    """
    before, after = dict(settings_keys(old)), dict(settings_keys(new))
    return {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    }


def nearest_key(key: str, valid: Sequence[str]) -> str | None:
    """The valid key that was probably meant: the same name in another room, or a near spelling.

    >>> nearest_key("steps", ["training.steps", "model.layers", "seed"])
    'training.steps'
    >>> nearest_key("model.layer", ["training.steps", "model.layers", "seed"])
    'model.layers'
    """
    name = key.rpartition(".")[2]
    same = [other for other in valid if other.rpartition(".")[2] == name]
    near = same or difflib.get_close_matches(key, valid, n=1)
    if not near:
        names = {other.rpartition(".")[2]: other for other in valid}
        near = [names[found] for found in difflib.get_close_matches(name, names, n=1)]
    return near[0] if near else None


def known_keys() -> frozenset[str]:
    """Every dotted key that some kind of run knows, and the other names of keys."""
    of_the_run = {name for name, f in RunConfig.model_fields.items() if not variants(f.annotation)}
    return frozenset(_all_keys()) | of_the_run | OTHER_NAMES.keys()


def variants(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that a field may hold: one, or one for each ``kind``."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    choices = get_args(annotation) or (annotation,)
    return [c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)]


def _default_kinds() -> Layer:
    defaults = RunConfig()
    return {"tokenizer": {"kind": defaults.tokenizer.kind}, "model": {"kind": defaults.model.kind}}


def _read_file(file: Path) -> Layer:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: byte {error.start}"
    except tomllib.TOMLDecodeError as error:
        message = f"is not valid TOML: {error}"
    raise ConfigError([Problem("config file", message, str(file))])


def _override_layer(overrides: Overrides) -> Layer:
    layer: Layer = {}
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            _put(layer, key, _as_plain(value))
        return layer
    malformed = []
    for word in overrides:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            malformed.append(Problem(word, "is no setting; write key=value, as in model.layers=6"))
            continue
        _put(layer, key.strip(), read_word(key.strip(), value))
    if malformed:
        raise ConfigError(malformed)
    return layer


def _as_plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return dict(value) if isinstance(value, Mapping) else value


def _put(layer: Layer, key: str, value: Any) -> None:
    *rooms, name = key.split(".")
    for room in rooms:
        inner = layer.setdefault(room, {})
        if not isinstance(inner, dict):
            inner = layer[room] = {}
        layer = inner
    if isinstance(value, dict) and isinstance(layer.get(name), dict):
        _merge(layer[name], value)
    else:
        layer[name] = value


def read_word(key: str, value: str) -> Any:
    """What a word says of a setting; of a list ``a`` is one item, and ``["a", "b"]`` are two.

    A shell takes quotes away, so plain names may stand without them.

    >>> read_word("training.log_to", "[tensorboard, wandb]")
    ['tensorboard', 'wandb']
    """
    if key not in LISTS:
        return value
    if re.fullmatch(r"\[\s*[a-z_]\w*(\s*,\s*[a-z_]\w*)*\s*\]", value):
        return re.findall(r"\w+", value)
    if value.startswith("["):
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value  # refused later, with its key, as no list
    return (value,) if value else ()


def _use_names_of_fields(layer: Layer) -> None:
    """Turn another name of a setting into its own, in place; two that differ are left to be told.

    >>> layer = {"data": {"context_length": "32", "stride": "8"}}
    >>> _use_names_of_fields(layer)
    >>> layer
    {'data': {'stride': '8'}, 'context_length': '32'}
    """
    for other, key in OTHER_NAMES.items():
        room, _, name = other.partition(".")
        inside = layer.get(room)
        if not isinstance(inside, dict) or name not in inside:
            continue
        if str(layer.setdefault(key, inside[name])) == str(inside[name]):
            del inside[name]


def _merge(under: Layer, over: Layer) -> None:
    """Lay ``over`` onto ``under`` in place."""
    for key, value in over.items():
        below = under.get(key)
        if not (isinstance(value, dict) and isinstance(below, dict)):
            under[key] = value
            continue
        kind = value.get("kind", below.get("kind"))
        if kind != below.get("kind"):
            known = _fields_of_kind(key, kind)
            for name in [name for name in below if known is not None and name not in known]:
                del below[name]
        _merge(below, value)


def _fields_of_kind(room: str, kind: Any) -> set[str] | None:
    """The fields of a room's settings of that kind; ``None`` where no such kind exists."""
    field = RunConfig.model_fields.get(room)
    for variant in variants(field.annotation) if field else []:
        if "kind" in variant.model_fields and variant.model_fields["kind"].default == kind:
            return set(variant.model_fields)
    return None


def _path(details: ErrorDetails) -> list[str]:
    """The key of an error as words, without the tag that names a variant."""
    path = [str(part) for part in details["loc"]]
    field = RunConfig.model_fields.get(path[0]) if path else None
    if len(path) > 1 and field is not None and len(variants(field.annotation)) > 1:
        del path[1]
    if details["type"].startswith("union_tag"):
        path = [path[0], "kind"]
    # An error inside a list is an error of the list.
    while path and path[-1].isdigit():
        path.pop()
    return path


def _problem(path: list[str], details: ErrorDetails, settings: Layer) -> Problem:
    key = ".".join(path)
    value = _value_at(settings, path)
    shown = None if isinstance(value, dict) or value is None else as_written(value)
    if details["type"] == "extra_forbidden":
        valid = _valid_keys(settings)
        if key in _all_keys() and key not in valid:
            room = path[0]
            kind = settings[room].get("kind")
            return Problem(key, f"is no setting of {room}.kind={kind}.", shown)
        if key in OTHER_NAMES:
            own = OTHER_NAMES[key]
            message = f"is another name of {own}, which is {settings.get(own)} here; give one."
            return Problem(key, message, shown)
        return Problem(key, "there is no such setting.", shown, nearest_key(key, valid))
    if details["type"].startswith("union_tag"):
        field = RunConfig.model_fields[path[0]]
        kinds = [v.model_fields["kind"].default for v in variants(field.annotation)]
        near = difflib.get_close_matches(str(value), kinds, n=1)
        return Problem(
            key, f"should be one of {', '.join(kinds)}.", shown, near[0] if near else None
        )
    if details["type"] in {"model_type", "model_attributes_type"}:
        return Problem(key, "is a group of settings; set one of its keys instead.", shown)
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
    return Problem(key, message.replace("String should", "should", 1) + ".", shown)


def _value_at(settings: Layer, path: list[str]) -> Any:
    inner: Any = settings
    for part in path:
        inner = inner.get(part) if isinstance(inner, dict) else None
    return inner


def _remove(settings: Layer, path: list[str]) -> None:
    *rooms, name = path
    defaults = _default_kinds()
    if name == "kind" and len(path) == 2 and path[0] in defaults:
        # Without its kind a room's other keys cannot be checked.
        settings[path[0]] = defaults[path[0]]
        return
    inner: Any = settings
    for room in rooms:
        inner = inner.get(room, {})
    inner.pop(name, None)


def _valid_keys(settings: Layer) -> list[str]:
    """Every key that can be set, given the kinds that ``settings`` choose."""
    keys = []
    for room, field in RunConfig.model_fields.items():
        choices = variants(field.annotation)
        if not choices:
            keys.append(room)
            continue
        kind = settings.get(room, {}).get("kind") if isinstance(settings.get(room), dict) else None
        for variant in choices:
            if len(choices) == 1 or variant.model_fields["kind"].default == kind:
                keys.extend(_keys_of(variant, f"{room}."))
    return keys


def _all_keys() -> set[str]:
    keys = set()
    for room, field in RunConfig.model_fields.items():
        for variant in variants(field.annotation):
            keys.update(_keys_of(variant, f"{room}."))
    return keys


def _keys_of(variant: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in variant.model_fields.items():
        inner = variants(field.annotation)
        if inner:
            yield from _keys_of(inner[0], f"{prefix}{name}.")
        else:
            yield prefix + name
