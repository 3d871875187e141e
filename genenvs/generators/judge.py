"""Small classifiers that read generated images: evaluation only, never a reward."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from genenvs.core.files import making, sha256
from genenvs.generators import store


@dataclass(frozen=True)
class Architecture:
    """Size of a judge; stored as its config.json."""

    shape: tuple[int, ...] = (1, 8, 8)
    classes: int = 10
    channels: tuple[int, ...] = (32, 64)
    features: int = 32  # few, so that 371 test images still give a regular covariance
    dropout: float = 0.3


class JudgeNetwork(nn.Module):
    """Two convolutions at full size, two at half size, a layer of features, a linear read-out."""

    def __init__(self, architecture: Architecture) -> None:
        """Build the layers with torch's default initialisation."""
        super().__init__()
        (channels, height, width), (near, far) = architecture.shape, architecture.channels
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, near, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(near, near, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(near, far, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(far, far, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(architecture.dropout),
            nn.Linear(far * (height // 2) * (width // 2), architecture.features),
        )
        self.head = nn.Linear(architecture.features, architecture.classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, classes] and features [B, F], before their nonlinearity."""
        features = self.trunk(images)
        return self.head(torch.relu(features)), features


@dataclass(frozen=True, eq=False)
class Judge:
    """A frozen classifier of images in [-1, 1].

    Attributes:
        name: the generator that it judges.
        digest: SHA-256 of its weights.
        shape: (C, H, W) of one image.
        num_classes: number of classes.
        network: the network itself.
        real_features: float32 [371, F], features of the real test split's images, to which sets
            of samples are compared.
    """

    name: str
    digest: str
    shape: tuple[int, ...]
    num_classes: int
    network: JudgeNetwork
    real_features: Tensor

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return float32 [B, num_classes] for float32 images [B, C, H, W] in [-1, 1]."""
        return self.network(self._checked(images))[0]

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return float32 [B, F], the penultimate layer before its nonlinearity."""
        return self.network(self._checked(images))[1]

    def _checked(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.shape:
            raise ValueError(
                f"judge {self.name!r} reads images [B, {', '.join(map(str, self.shape))}]; "
                f"got {list(images.shape)}"
            )
        return images.float()


_cache: dict[tuple, Judge] = {}


def files(name: str) -> tuple[Path, Path, Path]:
    """Return where a judge's configuration, weights and features of real images lie."""
    folder = store.WEIGHTS / f"{name}-judge"
    names = ("config.json", "model.safetensors", "real-test-features.safetensors")
    config, weights, real = (folder / each for each in names)
    return config, weights, real


def save_judge(name: str, network: JudgeNetwork, architecture: Architecture, real: Tensor) -> None:
    """Write a judge and enter it into the manifest, atomically file by file.

    Args:
        name: the generator that it judges.
        network: trained.
        architecture: its sizes.
        real: float32 [M, C, H, W], the real test images.
    """
    from safetensors.torch import save_file

    config, weights, features = files(name)
    store.write_json(config, asdict(architecture))
    with making(weights) as temporary:
        save_file(
            {key: value.contiguous() for key, value in network.state_dict().items()}, temporary
        )
    with making(features) as temporary, torch.no_grad():
        save_file({"features": network.eval()(real)[1].contiguous()}, temporary)
    store.seal([config, weights, features], store.WEIGHTS)


def load_judge(name: str = "digits", device: str | torch.device = "cpu") -> Judge:
    """Load the shipped judge of a shipped generator, once a process and device.

    Raises:
        FileNotFoundError: there is no judge of that name.
        ValueError: its files are not those that were shipped.
    """
    from safetensors.torch import load_file

    config, weights, real = files(name)
    if not config.parent.is_dir():
        raise FileNotFoundError(f"no judge ships for {name!r}: {config.parent} does not exist")
    store.verify([config, weights, real], store.WEIGHTS)
    digest, device = sha256(weights), torch.device(device)
    if (digest, device) not in _cache:
        values = json.loads(config.read_text(encoding="utf-8"))
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        architecture = Architecture(**values)
        network = JudgeNetwork(architecture)
        network.load_state_dict(load_file(weights))
        network = network.eval().requires_grad_(False).to(device)
        features = load_file(real)["features"].to(device)
        _cache[digest, device] = Judge(
            name, digest, architecture.shape, architecture.classes, network, features
        )
    return _cache[digest, device]
