"""One network factory for every agent: observations of any supported space in, features out."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import torch
from annotated_types import Ge
from gymnasium import spaces
from torch import Tensor, nn

from .distributions import Actions, Distribution

CONVOLVED = 16  # images smaller than this (pixels a side) are flattened
IMAGE_FEATURES = 128
Prepared = Tensor | dict[str, Tensor]


@dataclass
class NetworkConfig:
    """What agents with a network of ours share."""

    hidden: tuple[Annotated[int, Ge(1)], ...] = (64, 64)
    """Widths of the hidden layers, of policy and value alike."""
    network: str = ""
    """`module:Class` of an encoder of yours in place of ours; docs/agents.md has the protocol."""
    image_scale: float = 1.0
    """Factor on float images (rank 3): a hundred pixels drown the few numbers beside them."""
    image_side: Annotated[int, Ge(0)] = 0
    """Pictures wider or higher than this are averaged to squares of so many points; 0: none."""


# --- observations ---


def prepare(observation: Any, space: gym.Space[Any]) -> Prepared:
    """Observations as float tensors, as Stable-Baselines3 prepares them.

    Images (uint8 of rank 3) come in [0, 1], channels first; Discrete and MultiDiscrete as one-hot
    [B, n]; a `Dict` as a dict with keys `a.b` for nested ones.

    Args:
        observation: tensor [B, ...] or dict of them.
        space: of one environment.

    Raises:
        TypeError: a space that no agent here reads; says which they read.
    """
    if isinstance(space, spaces.Dict):
        flat: dict[str, Tensor] = {}
        for name, inner in space.items():
            part = prepare(observation[name], inner)
            named = part if isinstance(part, dict) else {"": part}
            named = {f"{name}.{key}" if key else name: value for key, value in named.items()}
            if same := set(flat) & set(named):
                raise TypeError(f"two observations would both be called {sorted(same)}: {space}")
            flat |= named
        return flat
    if isinstance(space, spaces.Box):
        if not is_image(space):
            return observation.to(torch.float32)
        image = observation.to(torch.float32) / 255.0
        return image.movedim(-1, 1) if channels_last(space) else image
    if isinstance(space, spaces.Discrete):
        return nn.functional.one_hot(observation.long() - int(space.start), int(space.n)).float()
    if isinstance(space, spaces.MultiDiscrete):
        start = torch.as_tensor(space.start, device=observation.device)
        index = (observation.long() - start).flatten(1)
        parts = [nn.functional.one_hot(index[:, d], int(n)) for d, n in enumerate(space.nvec.flat)]
        return torch.cat(parts, 1).float()
    if isinstance(space, spaces.MultiBinary):
        return observation.to(torch.float32)
    raise TypeError(
        f"agents read Box, Discrete, MultiDiscrete, MultiBinary and Dict observations; got {space}"
    )


def prepared_shapes(space: gym.Space[Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of one row of what `prepare` gives; the name of a space that is no `Dict` is ""."""
    sample = space.sample()
    batch = _map(sample, lambda value: torch.as_tensor(np.asarray(value))[None])
    prepared = prepare(batch, space)
    named = prepared if isinstance(prepared, dict) else {"": prepared}
    return {name: tuple(value.shape[1:]) for name, value in named.items()}


def is_image(space: gym.Space[Any]) -> bool:
    """Whether a space holds pictures: uint8 of rank 3."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3


def channels_last(space: spaces.Box) -> bool:
    """Whether the channels of a picture come last."""
    return space.shape[-1] in (1, 3, 4) and space.shape[0] not in (1, 3, 4)


def _map(value: Any, function: Any) -> Any:
    if isinstance(value, dict):
        return {name: _map(item, function) for name, item in value.items()}
    return function(value)


# --- networks ---


class Encoder(nn.Module):
    """Prepared observations to one vector: pictures by convolutions, everything else flattened.

    Attributes:
        features: length of the vector.
    """

    def __init__(
        self, space: gym.Space[Any], image_scale: float = 1.0, image_side: int = 0
    ) -> None:
        super().__init__()
        self.image_scale, self.image_side = image_scale, image_side
        self.features = 0
        self.images = nn.ModuleDict()
        for name, shape in prepared_shapes(space).items():
            if self._large(shape):
                shape = (shape[0], image_side, image_side)
            if is_image(_inner(space, name)) and min(shape[1:]) >= CONVOLVED:
                self.images[_key(name)] = _convolutions(shape)
                self.features += IMAGE_FEATURES
            else:
                self.features += int(np.prod(shape))

    def forward(self, observation: Prepared) -> Tensor:
        """[B, features] of what `prepare` gave."""
        named = observation if isinstance(observation, dict) else {"": observation}
        parts = []
        for name, value in named.items():
            if self._large(value.shape[1:]):
                value = nn.functional.adaptive_avg_pool2d(value, self.image_side)
            if _key(name) in self.images:
                parts.append(self.images[_key(name)](value))
            else:
                parts.append((self.image_scale * value if value.ndim == 4 else value).flatten(1))
        return torch.cat(parts, 1)

    def _large(self, shape: Sequence[int]) -> bool:
        return len(shape) == 3 and 0 < self.image_side < max(shape[1:])


def make_encoder(space: gym.Space[Any], config: NetworkConfig) -> Any:
    """The encoder that a configuration names.

    Raises:
        ValueError: `network` names no class, or one without `features`.
    """
    if not config.network:
        return Encoder(space, config.image_scale, config.image_side)
    made = load_class(config.network, "network")(space)
    if not isinstance(made, nn.Module) or not isinstance(getattr(made, "features", None), int):
        raise ValueError(
            f"network {config.network!r} must be a torch.nn.Module with an integer `features`,"
            f" the length of the vectors it returns; got {type(made).__name__}"
        )
    return made


def load_class(name: str, what: str) -> Any:
    """What `module:Class` names.

    Raises:
        ValueError: no such module or class.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):  # nothing is imported for a name that is none
        raise ValueError(f'{what} must be "module:Class"; got {name!r}')
    try:
        return getattr(import_module(module), attribute)
    except (AttributeError, ModuleNotFoundError, ValueError) as error:
        missing = getattr(error, "name", None)
        if isinstance(error, ModuleNotFoundError) and not module.startswith(missing or "."):
            raise  # the module is there, something that it needs is not
        raise ValueError(f'{what} must be "module:Class"; got {name!r} ({error})') from error


class ActorCritic(nn.Module):
    """A policy and a value on one encoder: the network of Stable-Baselines3's `MlpPolicy`.

    Two separate stacks of tanh layers, orthogonal weights (gain sqrt 2 inside, 0.01 on the policy's
    output, 1 on the value's), and for continuous actions a standard deviation of its own, the
    same in every state.
    """

    def __init__(
        self, observation_space: gym.Space[Any], action_space: gym.Space[Any], config: NetworkConfig
    ) -> None:
        super().__init__()
        self.space = observation_space
        self.actions = Actions(action_space)
        self.encoder = make_encoder(observation_space, config)
        self.pi: nn.Module
        self.v: nn.Module
        if logits_of(self.encoder):
            self.pi, self.v = direct_heads(self.encoder, config.hidden, self.actions.outputs)
        else:
            features = self.encoder.features
            self.pi = mlp(features, config.hidden, self.actions.outputs, gain=0.01)
            self.v = mlp(features, config.hidden, 1, gain=1.0)
        self.log_std = (
            nn.Parameter(torch.zeros(self.actions.outputs)) if self.actions.continuous else None
        )

    def forward(self, observation: Any, mask: Tensor | None = None) -> tuple[Distribution, Tensor]:
        """The policy's distribution and the value [B] in each row.

        Args:
            observation: of the environment, tensors [B, ...].
            mask: bool [B, n], which actions are legal.
        """
        features = self.encoder(prepare(observation, self.space))
        outputs = self.pi(features)
        return self.actions.distribution(outputs, self.log_std, mask), self.v(features)[:, 0]

    def judge(self, observation: Any, mask: Tensor | None, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of samples [B, D] and the value, [B] each."""
        policy, value = self(observation, mask)
        return policy.log_prob(action), value

    def policy(self, observation: Any, mask: Tensor | None = None) -> Distribution:
        """The distribution alone."""
        outputs = self.pi(self.encoder(prepare(observation, self.space)))
        return self.actions.distribution(outputs, self.log_std, mask)

    def value(self, observation: Any) -> Tensor:
        """The value alone, [B]."""
        return self.v(self.encoder(prepare(observation, self.space)))[:, 0]


def logits_of(encoder: Any) -> int:
    """How many of an encoder's first features are the policy's outputs as they are; mostly 0."""
    return int(getattr(encoder, "logits", 0))


def direct_heads(
    encoder: Any, hidden: Sequence[int], outputs: int
) -> tuple[nn.Sequential, nn.Sequential]:
    """Policy and value on an encoder that has `logits`: the first features, and layers on the rest.

    Raises:
        ValueError: it has another number of logits than there are outputs, or nothing else.
    """
    count = logits_of(encoder)
    if count != outputs or encoder.features <= count:
        raise ValueError(
            f"a network with logits needs one for each of {outputs} outputs, and features for the"
            f" value beside them; got {count} logits in {encoder.features} features"
        )
    value = mlp(encoder.features - count, hidden, 1, gain=1.0)
    policy = nn.Sequential(Columns(0, count))
    return policy, nn.Sequential(Columns(count, encoder.features), *value)


class Columns(nn.Module):
    """Some of the features."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__()
        self.first, self.end = first, end

    def forward(self, features: Tensor) -> Tensor:
        """[B, features] -> [B, end - first]."""
        return features[:, self.first : self.end]


def mlp(inputs: int, hidden: Sequence[int], outputs: int, gain: float) -> nn.Sequential:
    """Tanh layers with orthogonal weights and a linear output of the given gain."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [_orthogonal(nn.Linear(inputs, width), float(np.sqrt(2))), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, _orthogonal(nn.Linear(inputs, outputs), gain))


def _orthogonal(layer: nn.Module, gain: float) -> nn.Module:
    assert isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _convolutions(shape: tuple[int, ...]) -> nn.Sequential:
    """Three layers of stride 2, then IMAGE_FEATURES numbers."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for width in (16, 32, 32):
        layers += [_orthogonal(nn.Conv2d(channels, width, 3, 2, 1), 2**0.5), nn.ReLU()]
        channels = width
    body = nn.Sequential(*layers, nn.Flatten())
    size = body(torch.zeros(1, *shape)).shape[1]
    return nn.Sequential(body, _orthogonal(nn.Linear(size, IMAGE_FEATURES), 2**0.5), nn.ReLU())


def _inner(space: gym.Space[Any], name: str) -> gym.Space[Any]:
    """The entry of a `Dict` that a prepared name stands for."""
    while isinstance(space, spaces.Dict):
        key = next(k for k in space.spaces if name == k or name.startswith(f"{k}."))
        space, name = space[key], name[len(key) + 1 :]
    return space


def _key(name: str) -> str:
    """A name that `ModuleDict` takes."""
    return "image_" + name.replace(".", "/")
