"""The agent is the denoiser: it takes every latent of the chain, as in DDPO."""

from typing import Any

import numpy as np
from gymnasium import spaces
from torch import Tensor

from genenvs.core.task import Observation, Transition
from genenvs.generators import text_to_image
from genenvs.tasks.denoise.task import LIMIT, DenoiseState, DenoiseTask

TUNED = {"sprites": "sprites-tuned", "sprites-flow": "sprites-tuned"}  # over the same latents


class DenoiseLatent(DenoiseTask):
    """Turn noise into the picture that a prompt asks for: the agent owns the denoiser.

    ## Description
    The Markov decision process of DDPO (Black et al., 2024). The state is a latent, its time and a
    prompt; the action is the next latent. The environment runs no denoiser: it holds times and
    prompts, takes what the agent gives, and at the end decodes the last latent and rewards the
    picture. Agents bring the denoiser: `agents` has DDPO, DPOK, Flow-GRPO, DanceGRPO and others,
    which start from the environment's own generator and fine-tune a copy.

    A small multilayer perceptron is not meant to learn here: 256 numbers a step, and one reward
    after ten steps. For agents out of the box there is `DenoiseGuidance`.

    ## Action space
    `Box(-1, 1, [C, h, w])`: the next latent divided by 16. Latents have standard deviation 1 or a
    little more, and samplers of the shipped generators never meet the bound: the metric `clipped`
    says so.

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `latent` | [C, h, w] | -16 .. 16 | the latent x_t |
    | `time` | [1] | 0 .. 1 | time, 1 is pure noise |
    | `prompt` | index | | the prompt, an index into `task.texts` |

    ## Rewards
    `image` once, at the end: the image reward of the decoded picture, by default `scene`, the share
    of the prompt's requirements (things, numbers, colours, places) that a parser finds met.

    ## Metrics
    `reward`, the image reward whatever its weight, and `clipped`, the share of action values at the
    bound. Gold, never paid: `correct` (all requirements met), `clean` (and nothing else in the
    picture), `strange` (frequencies, colours and contrast against those of real scenes), `frechet`
    and `diversity` of the set. A reward of `scene_correct` pays for `correct`, which is measured as
    ever and is no gold then. Of prompts outside of the scenes' grammar `correct`, `clean` and
    `frechet` are missing, which is said by their absence and not by a 0: episodes are then scored
    by `held_out`, or where there is none by `reward`. `strange` still compares with real scenes,
    which says little of a generator that paints something else. Random here means the generator's
    own sampler, the reference is a fine-tuned generator with guidance 3 (`sprites-tuned` where the
    generator ships; a flow may be led by a diffusion model).

    ## Starting state
    Standard normal noise, of the episode's key. The instance is the prompt, unseen ones in each
    split; with `sprites` up to 100 (train) or 40 a category: single things, sizes, counting,
    pairs, positions, counting with positions.

    ## Episode end
    Terminates after `horizon` steps.

    ## Arguments
    - `generator` (`"sprites"`): a shipped name (`sprites`, `sprites-tuned`, `sprites-flow`), a
      local diffusers folder (Stable Diffusion 1, 2, XL, 3, Flux) or a hub id.
    - `lora` (None): folder or file of an adapter, added to the generator; agents that were trained
      with `lora_rank` leave one in `lora`.
    - `image_size` (None): pixels a side, or (height, width); None: the generator's own.
    - `max_batch` (None): rows that the network evaluates at once; None: by image size and device.
    - `prompts` (None): your own, a list or a text file; None for those of the scenes.
    - `reward` (`"scene"`): a name, a callable, `"module:attr"`, or a dict name -> weight.
    - `gold` (None): an image reward, given in the same way, that is judged and never paid: the
      metric `held_out`, beside the other gold ones.
    - `rule`, `level` (None): how the plain sampler adds noise; `ddim_eta` with eta 1 for diffusion,
      `flow_grpo` with 0.7 for flows.
    - `guidance` (1.0): of the plain sampler.
    - `horizon` (10): denoising steps.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful: state, action, terminal reward. Deviates: the generator and its pictures are small;
    the parser stands in for GenEval's detector. Log-probabilities are the agent's business: the
    environment neither computes nor returns them.

    ## Version history
    - v0: first version.
    """

    def __init__(self, *, reference: str | None = None, **arguments: Any) -> None:
        """Lay out the spaces; see the page for arguments.

        Args:
            reference: the generator that `reference` samples from, with guidance 3; None for the
                fine-tuned one of a shipped name, else the generator itself.
            **arguments: see `DenoiseTask`.
        """
        super().__init__(**arguments)
        self._reference = reference or TUNED.get(self.generator.name)
        self.action_space = spaces.Box(-1.0, 1.0, self.generator.shape, np.float32)
        self.observation_space = spaces.Dict(self.shared_spaces)

    def initial_state(self, instance: Tensor, key: Tensor) -> DenoiseState:
        """Pure noise."""
        return DenoiseState(**self.start(instance, key))

    def transition(self, state: DenoiseState, action: Tensor) -> Transition:  # type: ignore[override]
        """Take the latent that the agent gives."""
        return Transition(
            state=self.moved(state, action * LIMIT, action),
            terms={},
            terminated=state.step + 1 >= self.horizon,
        )

    def observe(self, state: DenoiseState) -> Observation:  # type: ignore[override]
        """See the page."""
        return self.seen(state)

    def steer(self, observation: dict[str, Tensor], wanted: Tensor) -> Tensor:
        """The action that leads to latents, float32 [B, C, h, w]: themselves."""
        return wanted / LIMIT

    def random_action(self, state: DenoiseState) -> Tensor:  # type: ignore[override]
        """What the generator's own sampler would take."""
        return self.sampled(state) / LIMIT

    def reference_action(self, state: DenoiseState) -> Tensor:  # type: ignore[override]
        """What a fine-tuned generator would take, with guidance 3 and no noise."""
        return self.sampled(state, *reference(self, self._reference)) / LIMIT


def reference(
    task: DenoiseTask, name: str | None
) -> tuple[text_to_image.TextToImage | None, float, float]:
    """Generator, guidance and noise level of the reference."""
    model = None if name is None else task.loaded(name)
    own = task.generator
    if model is not None and (model.shape != own.shape or own.kind != model.kind != "diffusion"):
        raise ValueError(
            f"the reference of {own.name}, a {own.kind} model of latents {own.shape}, must be of"
            f" the same kind or, for a flow, a diffusion model, and of the same latents; {name} is"
            f" a {model.kind} model of {model.shape}"
        )
    guided = (model or own).guided_by != "none"
    return model, 3.0 if guided else task.guidance, 0.0
