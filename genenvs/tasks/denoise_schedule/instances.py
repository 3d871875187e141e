"""Where episodes come from: the finite instances of a generator, with their solutions."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from gymnasium import spaces
from torch import Tensor

from genenvs.core.frechet import frechet_distance
from genenvs.core.task import State, Task
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import Denoiser
from genenvs.generators.judge import Judge, load_judge
from genenvs.generators.prompted import Prompted, load
from genenvs.generators.sampling import SAMPLERS
from genenvs.images.metrics import nearest_neighbour_distance
from genenvs.images.scenes import parser


class GeneratorTask(Task):
    """A task whose instance is a condition and a starting noise of a frozen generator.

    A condition is a class, or a prompt of the split.
    """

    tolerance = 1e-4

    def __init__(
        self,
        *,
        generator: str = "digits",
        sampler: str = "ddim",
        prompts: str | Sequence[str] | None = None,
        guidance: float | None = None,
        **common: Any,
    ) -> None:
        """Load the generator and the bank of its solutions.

        Args:
            generator: a shipped name, a local diffusers folder or a hub id.
            sampler: `ddim` or `dpmpp_2m`.
            prompts: of a text-to-image generator, see `prompted.load`.
            guidance: of a text-to-image generator.
            **common: see `Task`.

        Raises:
            ValueError: unknown sampler, an unusable generator, prompts or guidance for one that is
                asked for a class, or a bank of another model.
            FileNotFoundError: no such generator, or no bank for it; says how to build one.
        """
        super().__init__(**common)
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {sampler!r}")
        self.sampler = sampler
        self.denoiser: Denoiser = load(generator, self.device, self.dtype, prompts, guidance)
        self.schedule = self.denoiser.schedule
        self.bank = Bank.load(self.denoiser, self.split, device=self.device)

    @property
    def num_instances(self) -> int:
        """Entries of the split's bank."""
        return len(self.bank)

    @cached_property
    def condition_space(self) -> spaces.Discrete:
        """The condition as an index."""
        return spaces.Discrete(self.denoiser.num_conditions)

    def condition(self, state: State) -> Tensor:
        """int64 [B]."""
        return self.bank.condition[state.instance]

    def solution(self, state: State) -> Tensor:
        """The many-step solution from the same noise, float16 [B, C, H, W]."""
        return self.bank.solution[state.instance]

    @property
    def shipped_judge(self) -> bool:
        """Whether a shipped classifier can read this generator's images."""
        return self.denoiser.name == "digits"

    def read(self, latents: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """Whether each picture is what was asked for: `accuracy` [K], where someone can tell.

        The classifier tells of the shipped digits, the scenes' parser where prompts are of its
        grammar.
        """
        if self.shipped_judge:
            return {"accuracy": (self._judge().logits(latents).argmax(1) == condition).float()}
        if not isinstance(self.denoiser, Prompted) or self.denoiser.request is None:
            return {}
        pictures = self.denoiser.picture(latents) / 2 + 0.5
        reading = parser.read(pictures, self.denoiser.request[condition])
        return {"accuracy": reading.correct.float()}

    def image_features(self, images: Tensor) -> Tensor | None:
        """The classifier's features [K, F]; None where there is no classifier."""
        return self._judge().features(images) if self.shipped_judge else None

    def compare(self, features: Tensor) -> dict[str, float]:
        """The metrics of kind `set` from the features [K, F] of K samples."""
        return {
            "frechet": frechet_distance(features, self._judge().real_features),
            "diversity": float(nearest_neighbour_distance(features).mean()),
        }

    def _judge(self) -> Judge:
        return load_judge("digits", self.device)
