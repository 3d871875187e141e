"""Configurations: a dataclass per agent, from defaults, tuned YAML, a YAML file, and flags."""

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genenvs.core.optional import require
from genenvs.core.registry import declaration, ids

TUNED = Path(__file__).parent / "defaults"  # <agent>.yaml: `default`, then an entry per environment


def make(kind: type, values: Mapping[str, Any], source: str = "config") -> Any:
    """A configuration with these values, checked and converted to the fields' types.

    Args:
        kind: a dataclass.
        values: by field; what is missing keeps its default. Text such as "1e-3" becomes a number.
        source: what to call it in an error.

    Raises:
        ValueError: a field that there is not (names the nearest), a wrong type or range.
    """
    pydantic = require("pydantic", "agents")
    names = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=3, cutoff=0.4)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise ValueError(
                f"{source}: {kind.__qualname__} has no field {key!r}{hint};"
                f" known are {', '.join(names)}"
            )
    usual = {} if set(values) == set(names) else dataclasses.asdict(kind())
    try:
        return pydantic.TypeAdapter(kind).validate_python(usual | dict(values))
    except pydantic.ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}"
            for e in error.errors()
        )
        raise ValueError(f"{source}: {said}") from error


def defaults(kind: type) -> dict[str, Any]:
    """What the fields of a dataclass are unless told; those that must be told are left out."""
    found = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def check(settings: Any) -> None:
    """Have the fields of a dataclass the types and ranges that it declares?

    Raises:
        ValueError: one has not; says which.
    """
    make(type(settings), dataclasses.asdict(settings), "flags")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        ValueError: it does not, or cannot be read.
    """
    yaml = require("yaml", "agents")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping, as `gamma: 0.99`; got {content!r}")
    return content


def tuned(agent: str, env: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The tuned values of an agent for an environment: its `default` entry, then its own.

    Args:
        agent: a name.
        env: an id.
        arguments: of the environment. With another `generator` than the registered one its own
            entry does not count: steps that suit a million weights destroy a Stable Diffusion.
    """
    path = TUNED / f"{agent}.yaml"
    if not path.exists():
        return {}
    table = read_yaml(path)
    own = (table.get(env) or {}) if _registered_generator(env, arguments or {}) else {}
    return {**(table.get("default") or {}), **own}


def _registered_generator(env: str, arguments: Mapping[str, Any]) -> bool:
    if "generator" not in arguments or env.rpartition(":")[2] not in ids():
        return True
    return bool(arguments["generator"] == declaration(env).arguments.get("generator"))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed between two records, a line each: `gamma: 0.99 -> 0.9`."""
    lines = []
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return lines
