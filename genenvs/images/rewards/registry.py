"""From the name of a reward to the reward."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from genenvs.images.rewards.reward import Reward, WeightedSum, checked

_HERE = "genenvs.images.rewards"
# Name -> factory whose arguments all have defaults; imported when it is asked for.
NAMES: dict[str, str] = {
    "jpeg_compressibility": f"{_HERE}.jpeg:jpeg_compressibility",
    "jpeg_incompressibility": f"{_HERE}.jpeg:jpeg_incompressibility",
    "jpeg_surrogate": f"{_HERE}.jpeg_surrogate:jpeg_surrogate",
    "scene": f"{_HERE}.scene:scene",
    "scene_correct": f"{_HERE}.scene:scene_correct",
    "colour": f"{_HERE}.scene:colour",
    "brightness": f"{_HERE}.simple:brightness",
    "contrast": f"{_HERE}.simple:contrast",
    "symmetry": f"{_HERE}.simple:symmetry",
    "smoothness": f"{_HERE}.simple:smoothness",
    "mse": f"{_HERE}.similarity:mse",
    "psnr": f"{_HERE}.similarity:psnr",
    "ssim": f"{_HERE}.similarity:ssim",
    "glyphs": f"{_HERE}.glyphs:glyphs",
    "mmd": f"{_HERE}.sets:mmd",
    "coverage": f"{_HERE}.sets:coverage",
    "clip_score": f"{_HERE}.learned:clip_score",
    "pick_score": f"{_HERE}.learned:pick_score",
    "hps": f"{_HERE}.learned:hps",
    "aesthetic": f"{_HERE}.learned:aesthetic",
    "image_reward": f"{_HERE}.learned:image_reward",
}


def load(spec: str | Callable[..., Any] | Mapping[Any, float], **arguments: Any) -> Reward:
    """A reward, by name or as the user's own.

    Args:
        spec: a name of `NAMES`; `"name=value"`, which gives its first argument (the folder or hub
            id of a model, the scale of glyphs); `"module:attr"`, a reward or a factory that takes
            no argument; a callable, likewise; or a mapping of any of these to weights, for their
            weighted sum.
        arguments: further arguments of a named reward.

    Raises:
        ValueError: no such reward (names the nearest), or what was found is none.
        ImportError: it needs a package that is missing; names the extra.
    """
    if isinstance(spec, Mapping):
        _no(arguments, "a weighted sum")
        parts: dict[str, Reward] = {}
        weights: dict[str, float] = {}
        for key, weight in spec.items():
            part = load(key)
            name = key if isinstance(key, str) else part.name
            if name in parts:
                raise ValueError(f"two rewards of a weighted sum are called {name!r}")
            parts[name], weights[name] = part, weight
        return WeightedSum(parts, weights)
    if not isinstance(spec, str):
        _no(arguments, "a callable")
        return _take(spec, None)
    name, equals, value = spec.partition("=")
    if name in NAMES:
        factory = _import(NAMES[name])
        if equals and not inspect.signature(factory).parameters:
            raise ValueError(f"reward {name!r} takes no argument; got {spec!r}")
        return factory(*([value] if equals else []), **arguments)
    if ":" in spec:
        _no(arguments, repr(spec))
        return _take(_import(spec), spec)
    near = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    raise ValueError(
        f'no reward {spec!r}{hint}; there are {", ".join(NAMES)}, and "module:attr" for your own'
    )


def _no(arguments: Mapping[str, Any], what: str) -> None:
    if arguments:
        raise ValueError(f"{what} takes no further arguments; got {', '.join(arguments)}")


def _import(path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (AttributeError, ModuleNotFoundError, ValueError) as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and not module.startswith(missing or "."):
            raise  # the module is there, something that it needs is not
        raise ValueError(f'a reward must be "module:attr"; got {path!r} ({error})') from error


def _take(found: Any, name: str | None) -> Reward:
    """A reward, or what its factory makes."""
    if isinstance(found, Reward):
        return found
    if not callable(found):
        raise ValueError(f"a reward must be callable; got {name or found!r}")
    if _is_factory(found):
        made = found()
        if not callable(made):
            raise ValueError(f"{name or found!r} must make a reward; it made {made!r}")
        return checked(made)
    return checked(found)


def _is_factory(found: Any) -> bool:
    """Whether it can be called without arguments; a reward needs two."""
    try:
        signature = inspect.signature(found.forward if isinstance(found, nn.Module) else found)
    except (TypeError, ValueError):  # some built-in functions have none
        return False
    loose = any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values())
    try:
        signature.bind()
    except TypeError:
        return False
    return not loose
