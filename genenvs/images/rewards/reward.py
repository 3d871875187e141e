"""What a reward of images is, and the one place where its arguments and its values are checked."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from genenvs.images.scenes import grammar

Context = Mapping[str, Any]
PER_ROW = ("prompts", "text", "request", "target", "group")  # keys of the context with B rows
SLACK = 1e-4  # how far rounding may take an image, or a bounded reward, out of its range


@dataclass(frozen=True)
class Reward:
    """A function of a batch of images and their context, with what an agent must know of it.

    `context` holds what a reward may need; `needs` says which of it one does:

    | key | value |
    |---|---|
    | `prompts` | list of B strings |
    | `request` | `genenvs.images.scenes.grammar.Request` of B rows; read from `prompts` if absent |
    | `text` | list of B strings that are to be written; quoted in `prompts` if absent |
    | `target` | float [B, 3, H, W] in [0, 1] |
    | `group` | int64 [B], equal for rows that belong together; one group if absent |
    | `reference` | float [N, 3, H, W] images or [N, F] features |

    Attributes:
        name: for logs and errors.
        function: of (images, context), as the whole is; its images are float32 (or float64 where
            they came so), and lie on the CPU without gradient where `device` is "host".
        differentiable: whether gradients reach the images.
        range: lowest and highest value, infinite where there is none.
        device: "any" or "host", which costs one copy of the images.
        of_set: whether a row's value depends on the other rows.
        needs: keys of the context.
        validate: also check values, which on a GPU waits for it: images in [0, 1], the result
            finite and in `range`.
    """

    name: str
    function: Callable[[Tensor, Context], Tensor] = field(repr=False)
    differentiable: bool = False
    range: tuple[float, float] = (-math.inf, math.inf)
    device: Literal["any", "host"] = "any"
    of_set: bool = False
    needs: tuple[str, ...] = ()
    validate: bool = True

    def __post_init__(self) -> None:
        """Check the attributes, which may come from a user's callable."""
        pair = isinstance(self.range, tuple) and len(self.range) == 2
        for fits, problem in (
            (isinstance(self.name, str) and self.name, f"name must be a string; got {self.name!r}"),
            (callable(self.function), f"a reward must be callable; got {self.function!r}"),
            (
                pair and self.range[0] < self.range[1],
                f"range must be (lowest, highest); got {self.range!r}",
            ),
            (
                self.device in ("any", "host"),
                f'device must be "any" or "host"; got {self.device!r}',
            ),
            (
                not self.differentiable or self.device == "any",
                "what is measured on the host is not differentiable",
            ),
        ):
            if not fits:
                raise ValueError(f"reward {self.name!r}: {problem}")

    @property
    def bounded(self) -> bool:
        """Whether it has a lowest and a highest value: what reward gradients may climb."""
        return all(map(math.isfinite, self.range))

    def __call__(self, images: Tensor, context: Context | None = None) -> Tensor:
        """Evaluate it.

        Args:
            images: float [B, 3, H, W] in [0, 1].
            context: see above.

        Returns:
            float32 [B], on the device of the images.

        Raises:
            ValueError: images or context are not what a reward takes, or the result is not what it
                gives; names the reward, what was expected and what came.
            TypeError: images are no tensor.
        """
        check_images(images, self.name, self.validate)
        return self._evaluate(images, {} if context is None else context)

    def _evaluate(self, images: Tensor, context: Context) -> Tensor:
        """The value, of images that were checked."""
        device = torch.device("cpu") if self.device == "host" else images.device
        given = self._context(images, context, device)
        if not len(images):
            return images.new_zeros(0, dtype=torch.float32)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.differentiable):
            seen = images.detach().to(device) if self.device == "host" else images
            # Half precision has too few digits to add up a picture.
            seen = seen if seen.dtype == torch.float64 else seen.float()
            value = self.function(seen, given)
        self._check_value(value, images)
        return value.to(images.device, torch.float32)

    def _context(self, images: Tensor, context: Context, device: torch.device) -> Context:
        """The context, complete, with what the reward needs on its device."""
        if not isinstance(context, Mapping):
            raise TypeError(f"reward {self.name!r}: context must be a dict; got {_what(context)}")
        found = dict(context)
        prompts = found.get("prompts")
        if "request" in self.needs and found.get("request") is None and prompts is not None:
            found["request"] = grammar.request([grammar.read(each) for each in prompts])
        missing = [key for key in self.needs if found.get(key) is None]
        if missing:
            raise ValueError(
                f"reward {self.name!r} needs {', '.join(missing)} in its context, which holds "
                f"{', '.join(found) or 'nothing'}"
            )
        for key in PER_ROW:
            if found.get(key) is not None and len(found[key]) != len(images):
                raise ValueError(
                    f"reward {self.name!r}: context[{key!r}] must have a row for each of the "
                    f"{len(images)} images; got {len(found[key])}"
                )
        if "target" in self.needs:
            check_images(found["target"], self.name, self.validate, "target")
            if found["target"].shape != images.shape:
                raise ValueError(
                    f"reward {self.name!r}: target must be {list(images.shape)} as the images are; "
                    f"got {list(found['target'].shape)}"
                )
        for key in (*self.needs, "group", "reference"):
            if isinstance(found.get(key), Tensor | grammar.Request):
                found[key] = found[key].to(device)
        return found

    def _check_value(self, value: Tensor, images: Tensor) -> None:
        want = f"a floating-point tensor [{len(images)}]"
        if (
            not isinstance(value, Tensor)
            or not value.is_floating_point()
            or value.shape != images.shape[:1]
        ):
            raise ValueError(f"reward {self.name!r} must return {want}; got {_what(value)}")
        learns = self.differentiable and torch.is_grad_enabled() and images.requires_grad
        if learns and not value.requires_grad:
            raise ValueError(
                f"reward {self.name!r} says that it is differentiable, but no gradient leads from "
                "its value to the images"
            )
        if not self.validate:
            return
        low, high = self.range
        slack = SLACK * max([1.0, *(abs(end) for end in self.range if math.isfinite(end))])
        known = value.detach()
        within = torch.isfinite(known) & (known >= low - slack) & (known <= high + slack)
        if not bool(within.all()):
            bad = known[~within]
            raise ValueError(
                f"reward {self.name!r} must return finite values in [{low:g}, {high:g}]; got "
                f"{float(bad[0]):g} in {len(bad)} of {len(images)} rows"
            )


def check_images(images: Tensor, name: str, values: bool = True, what: str = "images") -> None:
    """Raise an error that names the reward unless images are [B, 3, H, W], floating, in [0, 1]."""
    want = f"reward {name!r}: {what} must be float [B, 3, H, W] in [0, 1]"
    if not isinstance(images, Tensor):
        raise TypeError(f"{want}; got {_what(images)}")
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(f"{want}; got {_what(images)}")
    if 0 in images.shape[2:]:
        raise ValueError(f"{want} and not empty; got {list(images.shape)}")
    if not values or not len(images):
        return
    low, high = (float(each) for each in images.detach().aminmax())
    if not (low >= -SLACK and high <= 1 + SLACK):  # NaN is neither
        hint = "; (x + 1) / 2 brings [-1, 1] there" if -1.5 < low < 0 <= high < 1.5 else ""
        raise ValueError(f"{want}; got values from {low:g} to {high:g}{hint}")


def _what(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" {list(shape)}" if shape is not None else "")


def checked(reward: Callable[..., Tensor], name: str | None = None) -> Reward:
    """Any callable as a `Reward`, whose arguments and values are checked from here on.

    Attributes that the callable does not have default: not differentiable, unbounded, any device,
    not of a set.

    Raises:
        ValueError: it is not callable, or has attributes that make no sense.
    """
    if isinstance(reward, Reward):
        return reward
    kind = type(reward).__name__
    own = getattr(reward, "name", None) or getattr(reward, "__name__", None) or kind
    known = {
        key: getattr(reward, key)
        for key in ("differentiable", "range", "device", "of_set", "needs")
        if hasattr(reward, key)
    }
    if isinstance(known.get("device"), torch.device):  # a network's own, of another meaning
        del known["device"]
    if isinstance(known.get("range"), list):
        known["range"] = tuple(known["range"])
    return Reward(name or str(own), reward, **known)


class WeightedSum(Reward):
    """Several rewards, each times a weight.

    Its range is the sum of theirs; it is differentiable if all are, of a set if any is. A sum of
    rewards of which one is measured on the host says "host", and costs that reward's copy.

    Attributes:
        parts: the rewards by name.
        weights: a finite number for each.
    """

    parts: Mapping[str, Reward]
    weights: Mapping[str, float]

    def __init__(self, parts: Mapping[str, Reward], weights: Mapping[str, float]) -> None:
        """Check the weights and add up the attributes.

        Raises:
            ValueError: there are no parts, or a weight is missing or not a finite number.
        """
        if not parts:
            raise ValueError("a weighted sum needs at least one reward; got none")
        if set(parts) != set(weights):
            raise ValueError(f"weights of {', '.join(weights)} for rewards {', '.join(parts)}")
        for name, weight in weights.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not math.isfinite(weight):
                raise ValueError(f"the weight of {name!r} must be a finite number; got {weight!r}")
        counted = [name for name in parts if weights[name]]
        ends = [sorted(weights[name] * end for end in parts[name].range) for name in counted] or [
            [-1.0, 1.0]
        ]
        label = " + ".join(f"{weights[name]:g} {name}" for name in parts)
        each = list(parts.values())
        super().__init__(
            name=label,
            function=self._sum,
            differentiable=all(part.differentiable for part in each),
            range=(sum(low for low, _ in ends), sum(high for _, high in ends)),
            of_set=any(part.of_set for part in each),
            needs=tuple(dict.fromkeys(key for part in each for key in part.needs)),
        )
        object.__setattr__(self, "parts", dict(parts))
        object.__setattr__(self, "weights", {k: float(v) for k, v in weights.items()})
        host = any(part.device == "host" for part in each)
        object.__setattr__(self, "device", "host" if host else "any")

    def __call__(self, images: Tensor, context: Context | None = None) -> Tensor:
        """The weighted sum of `terms`: float32 [B]."""
        return self.weighted(self.terms(images, context))

    def terms(self, images: Tensor, context: Context | None = None) -> dict[str, Tensor]:
        """The value of each part, without its weight: float32 [B] each."""
        check_images(images, self.name, self.validate)
        given = self._context(images, {} if context is None else context, images.device)
        return {name: part._evaluate(images, given) for name, part in self.parts.items()}

    def weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of what `terms` gave: float32 [B]."""
        return torch.stack([self.weights[name] * terms[name] for name in self.parts]).sum(0)

    def _sum(self, images: Tensor, context: Context) -> Tensor:
        return self(images, context)
