"""Predict the attributes of the shots that a hidden editor shows next."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core import random
from genenvs.core.task import Observation, Outcome, State, Task, Transition
from genenvs.editing import briefs, strips
from genenvs.editing.briefs import EXAMPLE
from genenvs.editing.styles import VALUES, films, load
from genenvs.tasks.shot_attributes import rewards, viewer
from genenvs.video.attributes import COUNT, SIZES, WIDTH, one_hot

CONTEXT = 5  # shots that are seen
_EDIT, _STRIP = random.word("edit"), random.word("strip")


@dataclass(frozen=True)
class ShotsState(State):
    """A batch of edits that are being guessed.

    Attributes:
        style: int64 [B], of the hidden editor.
        strip: int64 [B, 8, 8], attributes of the example's shots.
        example: float32 [B, 8, 36], the same one-hot.
        values: float32 [B, 36], how often each value is in it, see `strips.Strip`.
        habits: float32 [B, 3, 8], how often it keeps one, takes one up again, walks on.
        edit: int64 [B, 5 + T, 8], of the hidden edit; the first five are given.
        recent: int64 [B, 5, 8], the shots that are seen, the last one last.
        guesses: int64 [B, T, 8], the predictions.
        marginals: float32 [B, 2, 8, 5], how likely each value was in the shot before the last and
            in the last one, by what is known of the edit.
        right: int64 [B, 8], how often each attribute was right.
        bound: float32 [B], attributes right in expectation, of who knows the grammar.
        plausible: float32 [B], the same of the predictions that were made.
    """

    style: Tensor
    strip: Tensor
    example: Tensor
    values: Tensor
    habits: Tensor
    edit: Tensor
    recent: Tensor
    guesses: Tensor
    marginals: Tensor
    right: Tensor
    bound: Tensor
    plausible: Tensor


class ShotAttributes(Task):
    """Predict the attributes of the shots that a hidden editor shows next.

    ## Description
    Five shots of an edit are given, and a strip of eight shots of another film by the same editor.
    A shot has eight attributes: size, angle, motion, type, subject, number, sound, location. At
    every step the agent predicts those of the next shot, and its prediction becomes the last shot
    that it sees: an edit is continued, not read along. Editors' styles are grammars over
    attributes, as in `ClipEdit`; none of one split is in another.

    ## Action space
    `MultiDiscrete([5, 5, 5, 4, 5, 4, 4, 4])`: the values of the eight attributes. All are always
    legal.

    ## Observation space
    `Dict` of float32 in 0 .. 1:
    | key | shape | meaning |
    |---|---|---|
    | `shots` | [5, 36] | the last shots, one-hot, the last one last |
    | `example` | [8, 36] | the strip |
    | `choices` | [36, 4] | counts in the strip of each value of the next shot: how often it is
    there; where it is that of the last shot, that of the shot before, or the one after the last
    one's, how often the strip keeps, takes up again, walks on |
    | `progress` | [1] | shots predicted / horizon |

    ## Rewards
    `agreement`: the share of the eight attributes that are those of the hidden edit's next shot,
    over the horizon.

    ## Metrics
    `accuracy` scores an episode, and `accuracy_size`, `accuracy_angle`, `accuracy_motion`,
    `accuracy_type`, `accuracy_subject`, `accuracy_number`, `accuracy_sound`, `accuracy_location`
    are its parts. Nobody can guess everything: `bound` is the accuracy in expectation of who knows
    the grammar, exact for the episode: probabilities of values are carried from the given shots
    through the grammar, and the likeliest value of each is counted with its probability. With
    `teacher_forced` they are carried from the edit's own last shots. Gold, never paid:
    `plausible`, the probability of the predictions under the grammar, which stays below an accuracy
    that was stolen; `change_error`, how far what changes from shot to shot is from what changes in
    the edit, and `variety`, different predictions, of the edit's: who always says what is likeliest
    has less of both than an edit, so that the reference is no better in them than chance.

    ## Starting state
    Style, edit and strip are drawn from the instance; 1,024 styles in `train`, 128 in `validation`,
    256 in `test`.

    ## Episode end
    Terminates at the horizon.

    ## Arguments
    - `teacher_forced` (False): the edit's own last shots are seen instead of the predictions. Then
      no action matters to what comes after it: a contextual bandit.
    - `horizon` (12): shots to predict.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful (RLAVE, Hu et al., MM 2023): eight attributes of the next shots are predicted from
    those of the shots before, one after the other, and the reward compares them with a
    professional edit. Deviates: RLAVE reads distributions over attributes off pixels of feature
    films; here they are known, and the professional is a grammar, whose limit can be computed. The
    strip is ours: styles are many. RLAVE's constants and horizon are not published.

    ## Version history
    - v0: first version.
    """

    ends = "terminates"
    terms = rewards.TERMS
    metrics = rewards.METRICS

    def __init__(self, *, teacher_forced: bool = False, **common: Any) -> None:
        """See the page for arguments.

        Raises:
            ValueError: `teacher_forced` is neither True nor False.
        """
        super().__init__(**common)
        if not isinstance(teacher_forced, bool):
            raise ValueError(f"teacher_forced must be True or False; got {teacher_forced!r}")
        self.teacher_forced = teacher_forced
        self.styles = load(self.split, self.device)
        self.action_space = spaces.MultiDiscrete(list(SIZES))
        shapes = {
            "shots": (CONTEXT, WIDTH),
            "example": (EXAMPLE, WIDTH),
            "choices": (WIDTH, strips.HINTS),
            "progress": (1,),
        }
        self.observation_space = spaces.Dict(
            {name: spaces.Box(0.0, 1.0, shape, np.float32) for name, shape in shapes.items()}
        )

    def initial_state(self, instance: Tensor, key: Tensor) -> ShotsState:
        """Five shots and a strip."""
        style = briefs.which(self.styles, instance)
        length = CONTEXT + self.horizon
        keys = torch.cat([random.mix(instance, _EDIT), random.mix(instance, _STRIP)])
        drawn = films(self.styles, style.repeat(2), keys, max(length, EXAMPLE)).attributes
        edit, strip = drawn[: len(key), :length], drawn[len(key) :, :EXAMPLE].clone()
        none = torch.zeros_like(key)
        counts = strips.read(strip)
        return ShotsState(
            instance=instance,
            key=key,
            step=none,
            style=style,
            strip=strip,
            example=one_hot(strip),
            values=counts.values,
            habits=counts.habits,
            edit=edit,
            recent=edit[:, :CONTEXT].clone(),
            guesses=torch.zeros_like(edit[:, CONTEXT:]),
            marginals=self._certain(edit[:, CONTEXT - 2 : CONTEXT]),
            right=torch.zeros_like(edit[:, 0]),
            bound=torch.zeros(len(key), device=self.device),
            plausible=torch.zeros(len(key), device=self.device),
        )

    def transition(self, state: ShotsState, action: Tensor) -> Transition:  # type: ignore[override]
        """Compare a prediction with the edit, and see it as the last shot."""
        rows = torch.arange(len(action), device=self.device)
        running = state.step < self.horizon
        place = state.step.clamp(max=self.horizon - 1)
        truth = state.edit[rows, CONTEXT + place]
        hit = (action == truth) & running[:, None]
        likely = self.likely(state)
        best = likely.amax(2).double().sum(1).float() * running
        chosen = likely.gather(2, action[..., None])[..., 0].double().sum(1).float() * running
        seen = truth if self.teacher_forced else action
        newest = self._certain(truth) if self.teacher_forced else likely
        state.guesses[rows, place] = torch.where(
            running[:, None], action, state.guesses[rows, place]
        )
        after = state.advance(
            recent=torch.cat([state.recent[:, 1:], seen[:, None]], 1),
            marginals=torch.stack([state.marginals[:, 1], newest], 1),
            right=state.right + hit,
            bound=state.bound + best,
            plausible=state.plausible + chosen,
        )
        before, accuracy = self._accuracy(state), self._accuracy(after)
        return Transition(
            state=after,
            terms={"agreement": accuracy - before},
            terminated=after.step >= self.horizon,
            metrics={"accuracy": accuracy},
        )

    def likely(self, state: ShotsState) -> Tensor:
        """How likely each value is in the next shot, to who knows the grammar: [B, 8, 5]."""
        before, last = state.marginals.unbind(1)
        return self.styles.next(state.style, before, last)

    def outcome(self, state: ShotsState) -> Outcome:  # type: ignore[override]
        """What is measured of a whole edit."""
        both = torch.cat([state.guesses, state.edit[:, CONTEXT:]])
        changed, hidden = rewards.changes(both).chunk(2)
        variety, own = rewards.different(both).chunk(2)
        return Outcome(
            metrics={
                "bound": state.bound / (COUNT * self.horizon),
                "plausible": state.plausible / (COUNT * self.horizon),
                **rewards.by_attribute(state.right, self.horizon),
                "change_error": (changed - hidden).abs(),
                "variety": variety / own,
            }
        )

    def observe(self, state: ShotsState) -> Observation:  # type: ignore[override]
        """See the page."""
        progress = (state.step / self.horizon).clamp(max=1)
        before, last = state.recent[:, -2], state.recent[:, -1]
        return {
            "shots": one_hot(state.recent),
            "example": state.example.clone(),
            "choices": strips.hints(state.values, state.habits, before, last),
            "progress": progress[:, None],
        }

    def reference_action(self, state: ShotsState) -> Tensor:  # type: ignore[override]
        """The likeliest values under the hidden editor's grammar."""
        return self.likely(state).argmax(2)

    def render(self, state: ShotsState, index: int) -> np.ndarray:  # type: ignore[override]
        """Strip, predictions and edit, as they would look."""
        return viewer.picture(self, state, index)

    def artefact(self, state: ShotsState, index: int) -> list[dict[str, str]]:  # type: ignore[override]
        """The predicted shots of a row, by attribute and category, as a cutting list has them."""
        return viewer.shots(state, index)

    def _accuracy(self, state: ShotsState) -> Tensor:
        return state.right.sum(1) / (COUNT * self.horizon)

    @staticmethod
    def _certain(shots: Tensor) -> Tensor:
        """What is known: int64 [..., 8] -> float32 [..., 8, 5]."""
        return torch.nn.functional.one_hot(shots, VALUES).float()
