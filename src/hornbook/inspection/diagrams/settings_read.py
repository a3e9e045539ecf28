"""Which settings a function reads: every chain of names that begins with its ``config``.

    def make_optimizer(config: RunConfig, model: LanguageModel):
        plan = config.training
        return build_optimizer(model, plan.optimizer, plan.peak_learning_rate)

    training.optimizer.*, training.learning_rate, …

Another name for a group (``plan``) is followed, and so are functions of the same file that get the
whole ``config``, and properties of settings, which read others in turn.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from hornbook.runs.resolution import variants

ARGUMENT = "config"


def keys_read(function: Callable[..., Any], settings: type[BaseModel]) -> list[str]:
    """The keys of ``settings`` that ``function`` reads, in the order in which it does.

    Args:
        function: one whose argument ``config`` holds them.
        settings: their class.

    >>> from hornbook.runs import assembly
    >>> from hornbook.runs.config import RunConfig
    >>> keys_read(assembly.make_tokenizer, RunConfig)
    ['tokenizer.*']
    """
    if ARGUMENT not in inspect.signature(function).parameters:
        return []
    found = list(dict.fromkeys(_keys(function, ARGUMENT, settings, "", set())))
    whole = tuple(key[:-1] for key in found if key.endswith("*"))
    return [key for key in found if key.endswith("*") or not key.startswith(whole or ("*",))]


def keys_below(settings: type[BaseModel], group: type[BaseModel], prefix: str = "") -> list[str]:
    """Where a group of settings stands, as ``room.*``."""
    found = []
    for name, field in settings.model_fields.items():
        for variant in variants(field.annotation):
            if variant is group:
                found.append(f"{prefix}{name}.*")
            else:
                found += keys_below(variant, group, f"{prefix}{name}.")
    return found


def _keys(
    function: Callable[..., Any],
    root: str,
    settings: type[BaseModel],
    prefix: str,
    seen: set[Any],
) -> Iterator[str]:
    if function in seen:
        return
    seen.add(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    aliases: dict[str, tuple[str, ...]] = {root: ()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            chain = _chain(node.value, aliases)
            if chain:
                aliases[node.targets[0].id] = chain
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    inner |= {id(part) for call in calls if _chain(call, aliases) for part in call.args}
    values = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        chain = _chain(node, aliases)
        if chain and id(node) not in inner | values:
            yield from _resolved(chain, settings, prefix, seen)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = vars(inspect.getmodule(function)).get(node.func.id)
            given = any(isinstance(a, ast.Name) and a.id == root for a in node.args)
            same = getattr(called, "__module__", None) == function.__module__
            if given and same and inspect.isfunction(called):
                yield from _keys(called, ARGUMENT, settings, prefix, seen)


def _chain(node: ast.AST, aliases: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The names behind the root, as in ``("training", "optimizer")``, where they are read."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        begin, name = _chain(node.args[0], aliases), node.args[1]
        if begin and isinstance(name, ast.Constant):
            return (*begin, str(name.value))
        return None
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in aliases:
        return (*aliases[node.id], *reversed(names))
    return None


def _resolved(
    chain: tuple[str, ...], settings: type[BaseModel], prefix: str, seen: set[Any]
) -> Iterator[str]:
    """The keys that a chain reads: a field, a whole group, or what a property reads."""
    name, *rest = chain
    field = settings.model_fields.get(name)
    if field is None:
        member = inspect.getattr_static(settings, name, None)
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and function.__module__.startswith("hornbook."):
            yield from _keys(function, "self", settings, prefix, seen)
        return
    groups = variants(field.annotation)
    if not groups:
        yield prefix + name
    elif not rest:
        yield f"{prefix}{name}.*"
    else:
        known = next((g for g in groups if hasattr(g, rest[0]) or rest[0] in g.model_fields), None)
        if known is not None:
            yield from _resolved(tuple(rest), known, f"{prefix}{name}.", seen)
