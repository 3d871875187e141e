"""Dance to music, an eighth of a second at a time."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core import random
from genenvs.core.frechet import frechet_distance
from genenvs.core.task import Observation, Outcome, State, Task, Transition
from genenvs.motion import beats as alignment
from genenvs.motion import codes as codebooks
from genenvs.motion import features, feet, metrics
from genenvs.motion.codes import FPS, FRAMES, Motion
from genenvs.motion.codes_prior import Prior
from genenvs.motion.features import KINETIC
from genenvs.motion.humanoid import humanoid, lowest, soles
from genenvs.motion.music import SYNTHESISED
from genenvs.motion.music import load as load_music
from genenvs.motion.skeleton import forward
from genenvs.tasks.dance import planner, rewards, viewer

LEAD = 9  # codes before the dance: on so many the beats of its first code depend
OPEN = 5  # codes, the last ones, whose beats depend on what follows
_CONTEXT = 8  # codes before one that its beats and those of the open ones before it depend on
PAST, AHEAD = 2, 8  # codes of music that are seen beside the next one
SEEN = 2  # codes of the dance
SEED = 1  # what a draw is for
WINDOW = 120  # frames, of the features of FID_k and FID_g
FASTEST = 5.0  # m/s, which counts as 1


@dataclass(frozen=True)
class DanceState(State):
    """A batch of unfinished dances of T codes.

    Attributes:
        codes: int64 [B, 9 + T, 2], upper and lower; the first nine come before the dance.
        speed: float32 [B, 8 (9 + T)], mean way of the joints from each frame to the next, metres.
        beats: bool [B, 8 T], frames with a beat of music.
        music: float32 [B, 2 + T + 8, 3], of each code: whether it has a beat, where in it, and how
            strong its strongest onset is; the first two and the last eight are what surrounds it.
        settled: float32 [B], what beats of the dance pay that can no longer change.
        score: float32 [B], what all of them pay.
        gap: float32 [B], by how much codes missed each other, summed.
        apart: float32 [B], how far halves were from the clips, summed.
    """

    codes: Tensor
    speed: Tensor
    beats: Tensor
    music: Tensor
    settled: Tensor
    score: Tensor
    gap: Tensor
    apart: Tensor


class Dance(Task):
    """Dance to music, choosing what each half of a body does next.

    ## Description
    A humanoid dances for eight seconds. Its movements come from two codebooks, one for the legs and
    the root and one for the trunk and the arms: a *code* is what a half does for eight frames at
    60 fps, a centre of k-means over 34 seconds of motion capture. At every step the agent chooses a
    code for each half. It hears the music, a second ahead, and is paid where the dance's beats, the
    moments at which the body is slowest, meet those of the music, and for not falling apart: codes
    should begin where the ones before end, and halves belong together.
    `env.unwrapped.artefact().save(path)` keeps a dance as .mp4 with its sound, .gif, .bvh or .wav.

    Who takes every minimum of a speed for a beat, as is published, finds one in every code of a
    body that trembles on the spot. Here the body must have been faster by 0.1 m/s, in the mean of
    its joints, 8 frames before, and be so 8 frames after.

    ## Action space
    `MultiDiscrete([128, 128])`: the code of the upper and of the lower half. All are always legal.
    Where a code begins elsewhere than the one before ends, the difference decays over its frames.

    ## Observation space
    `Dict`:
    | key | shape | range | meaning |
    |---|---|---|---|
    | `codes` | MultiDiscrete [4] | | the last two pairs of codes: upper, lower, upper, lower |
    | `speed` | [16] | 0 .. 1 | mean speed of the joints in the last 16 frames, 1: 5 m/s |
    | `music` | [11, 3] | 0 .. 1 | of two codes past, the next one and eight after: whether it has |
    | | | | a beat, at which of its frames (/ 7), how strong its strongest onset is |
    | `progress` | [1] | 0 .. 1 | codes danced / horizon |

    ## Rewards
    `beats`: with the default `reward="balanced"` a code with a beat of the dance pays 1 / n if it
    is one of n with a beat of music and costs 1 / m if it is one of the m others. So the sum is
    a share of hits less one of false alarms: always dancing a beat and never doing so come to 0
    exactly, and who wants more has to listen. As a speed is smoothed over 41 frames, beats depend
    on what follows: the term is the change of `beat_score`, what the dance would pay if it ended
    now. `continuity` and `halves` are prices in metres.

    With `reward="bailando"` a code pays 5 if music and dance both have a beat in it and else costs
    5; `"bailando_paper"` pays 5 wherever the music has none. Both take every minimum for a beat and
    are greatest for *always*: for a figure that holds one pair of codes and trembles.

    ## Metrics
    `f1` scores an episode: the harmonic mean of `music_beats_met` (Bailando's beat alignment, which
    more beats can only raise) and `dance_beats_meant` (the other direction). `balanced_accuracy` is
    that of the codes. Gold, never paid: `likelihood` under a prior of the same clips at 0.9 and
    1.1 times their speed (no test on other clips: what follows in one that was left out whole has
    -9.1 nats, where chance has -9.7), `jerk` and `join_jerk`, `penetration` of the floor, `skate`
    of planted feet, `repetition`, and, by the published definition of a beat,
    `published_alignment`. `dance_beats`, `join_gap` and
    `apart` describe. Of sets, over windows of two seconds: `fid_k`, `fid_g`, `div_k`, `div_g`; the
    reference has 70 windows, so take them for comparisons alone.

    ## Starting state
    Rhythms are drawn without end: tempo 60 to 160 beats a minute, swing, bars of 2 to 4 beats with
    an accent, a pattern of off-beats. A dance comes from a second of a clip in which somebody is on
    his feet, drawn from the episode's key.

    ## Episode end
    Terminates after `horizon` codes.

    ## Arguments
    - `music` (`"rhythms"`): synthesised rhythms, or the path of a sound file, in which each episode
      begins somewhere else; its beats are found by librosa (extra `audio`). All splits share it.
    - `reward` (`"balanced"`): or `"bailando"`, `"bailando_paper"`; see above.
    - `codes` (`"shipped"`): or the path of codebooks made of other clips by
      `python -m genenvs.motion.training.codes --clips FOLDER --out FILE`, which sizes follow.
    - `clips` (None): a BVH file, one in DeepMimic's text format or a folder of them, of which
      codebooks are made at once, 128 codes a half; `codes` then stays as it is. All splits share
      them.
    - `horizon` (60): codes of a dance, an eighth of a second each (8 / 60 s).
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful (Bailando, Li et al., CVPR 2022): two codebooks, 8 frames a code at 60 fps, one code
    of each half a step, beats as minima of the joints' speed smoothed by 5 frames, both of its
    rewards, FID_k, FID_g, diversity and beat alignment. Deviates: centres of k-means, 128 a half,
    in place of two VQ-VAEs of 512; clips of 34 seconds without music in place of AIST++; music is
    seen as beats and onsets, not as 438 features, and a second ahead; the default reward; halves
    belong together where clips show them together, where Bailando compares which way they face (its
    code multiplies that by 0).

    ## Version history
    - v0: first version.
    """

    ends = "terminates"
    tolerance = 1e-4  # forward kinematics; a beat hangs on which of two speeds is smaller
    terms = rewards.TERMS
    metrics = rewards.METRICS

    def __init__(
        self,
        *,
        music: str | Path = SYNTHESISED,
        reward: str = "balanced",
        codes: str | Path = "shipped",
        clips: str | Path | None = None,
        **common: Any,
    ) -> None:
        """Load codebooks and music; see the page for arguments."""
        super().__init__(**common)
        if reward not in rewards.PAYS:
            raise ValueError(f"reward must be one of {', '.join(rewards.PAYS)}; got {reward!r}")
        self.reward, self.lead = reward, LEAD * FRAMES
        self.codes = codebooks.load(codes, str(self.device), clips)
        self.music = load_music(music, self.horizon * FRAMES / FPS, FPS)
        sizes = self.codes.sizes
        self.action_space = spaces.MultiDiscrete(np.array(sizes))
        shape = (PAST + 1 + AHEAD, 3)
        self.observation_space = spaces.Dict({
            "codes": spaces.MultiDiscrete(np.array(sizes * SEEN)),
            "speed": spaces.Box(0.0, 1.0, (SEEN * FRAMES,), np.float32),
            "music": spaces.Box(0.0, 1.0, shape, np.float32),
            "progress": spaces.Box(0.0, 1.0, (1,), np.float32),
        })  # fmt: skip

    @cached_property
    def prior(self) -> Prior:
        """How likely codes follow each other in the clips: what scripted policies choose from."""
        return Prior(self.codes.follows, self.codes.sizes)

    @cached_property
    def judging(self) -> Prior:
        """The same from copies of these clips at other speeds, for `judge` alone."""
        return Prior(self.codes.held_out, self.codes.sizes)

    @cached_property
    def _seed_speed(self) -> Tensor:
        """What the codes before a dance move: [S, 72]. Nothing depends on the very first one's."""
        seeds = self.codes.seeds
        before = torch.cat([seeds[:, :1], seeds[:, :-1]], 1)
        return self.codes.speed(before, seeds).flatten(1)

    def initial_state(self, instance: Tensor, key: Tensor) -> DanceState:
        """Music of the instance, and a second of a clip, drawn, to come from."""
        rows, total = len(key), LEAD + self.horizon
        which = random.randint(key, random.counter(0, SEED), 1, len(self.codes.seeds))[:, 0]
        codes = torch.zeros(rows, total, 2, dtype=torch.int64, device=self.device)
        codes[:, :LEAD] = self.codes.seeds[which]
        speed = torch.zeros(rows, total * FRAMES, device=self.device)
        speed[:, : self.lead] = self._seed_speed[which]
        count = (self.horizon + AHEAD) * FRAMES
        beats, strength = self.music.frames(instance, count)
        on = beats.view(rows, -1, FRAMES)
        music = torch.zeros(rows, PAST + self.horizon + AHEAD, 3, device=self.device)
        has = on.any(2).float()
        where = on.float().argmax(2) / (FRAMES - 1) * has
        heard = strength.view(rows, -1, FRAMES).amax(2)
        music[:, PAST:] = torch.stack([has, where, heard], 2)
        nothing = torch.zeros(rows, device=self.device)
        return DanceState(
            instance=instance,
            key=key,
            step=torch.zeros_like(key),
            codes=codes,
            speed=speed,
            beats=beats[:, : self.horizon * FRAMES].clone(),
            music=music,
            settled=nothing,
            score=nothing.clone(),
            gap=nothing.clone(),
            apart=nothing.clone(),
        )

    def transition(self, state: DanceState, action: Tensor) -> Transition:  # type: ignore[override]
        """Dance one code more."""
        row = torch.arange(len(action), device=self.device)
        step = state.step.clamp(max=self.horizon - 1)  # an ended row may be stepped on
        before = self.before(state)
        speed = self.codes.speed(before, action)
        gap = self.codes.gap(before, action)
        apart = self.codes.apart[action[:, 0], action[:, 1]]
        settled, score = self.scored(state, speed[:, None], self.reward)
        state.codes[row, LEAD + step] = action
        place = ((LEAD + step) * FRAMES)[:, None] + torch.arange(FRAMES, device=self.device)
        state.speed.scatter_(1, place, speed)
        terms = {
            "beats": score[:, 0] - state.score,
            "continuity": -gap / self.horizon,
            "halves": -apart / self.horizon,
        }
        after = state.advance(
            settled=settled[:, 0],
            score=score[:, 0],
            gap=state.gap + gap,
            apart=state.apart + apart,
        )
        over = after.step >= self.horizon
        return Transition(after, terms, over, {"beat_score": after.score})

    def scored(self, state: DanceState, speed: Tensor, reward: str) -> tuple[Tensor, Tensor]:
        """What beats would have paid after some codes more, if the dance ended there.

        Beats are minima of a speed smoothed over 41 frames and compared with 8 frames before and
        after, so the last codes' may still change.

        Args:
            state: of B rows.
            speed: float32 [B, N, 8 K], of N ways to go on by K codes.
            reward: see `rewards.pay`.

        Returns:
            Settled after the first of them and in all, float32 [B, N] each.
        """
        rows, many, more = speed.shape
        open_codes = OPEN - 1 + more // FRAMES
        step = state.step.clamp(max=self.horizon - 1)
        back = torch.arange(-_CONTEXT * FRAMES, 0, device=self.device)
        place = ((LEAD + step) * FRAMES)[:, None] + back
        past = state.speed.gather(1, place)[:, None].expand(rows, many, len(back))
        known = torch.cat([past, speed], 2).flatten(0, 1).double()
        slow = alignment.slowest(known, FPS, rise=rewards.RISE[reward])
        dance = slow[:, -open_codes * FRAMES :].view(rows, many, open_codes, FRAMES).any(3)
        base, gain = rewards.pay(self.has_beat(state), reward)
        code = step[:, None] + torch.arange(1 - OPEN, open_codes + 1 - OPEN, device=self.device)
        there = (code >= 0) & (code < self.horizon)
        code = code.clamp(0, self.horizon - 1)
        base, gain = base.gather(1, code) * there, gain.gather(1, code) * there
        paid = base[:, None] + gain[:, None] * dance  # [B, N, open codes]
        settled = state.settled[:, None] + paid[..., 0]
        return settled, settled + paid[..., 1:].sum(2)

    def has_beat(self, state: DanceState) -> Tensor:
        """Which codes have a beat of music: bool [B, T]."""
        return state.music[:, PAST : PAST + self.horizon, 0] > 0

    def dance_beats(self, state: DanceState, reward: str = "balanced") -> Tensor:
        """Which frames of whole dances have a beat, as a reward defines them: bool [B, 8 T]."""
        found = alignment.slowest(state.speed.double(), FPS, rise=rewards.RISE[reward])
        return found[:, self.lead :]

    def outcome(self, state: DanceState) -> Outcome:  # type: ignore[override]
        """How well the beats met."""
        dance = self.dance_beats(state)
        found = alignment.alignment(state.beats, dance, FPS)
        every = self.dance_beats(state, "bailando")
        published = alignment.alignment(state.beats, every, FPS).music
        by_code = dance.view(len(dance), self.horizon, FRAMES).any(2)
        return Outcome(
            metrics={
                "f1": found.f1,
                "music_beats_met": found.music,
                "dance_beats_meant": found.motion,
                "balanced_accuracy": rewards.balanced_accuracy(self.has_beat(state), by_code),
                "dance_beats": dance.sum(1).float(),
                "published_alignment": published,
                "join_gap": state.gap / self.horizon,
                "apart": state.apart / self.horizon,
            }
        )

    def observe(self, state: DanceState) -> Observation:  # type: ignore[override]
        """See the page."""
        row = torch.arange(len(state.step), device=self.device)[:, None]
        step = state.step.clamp(max=self.horizon)[:, None]
        last = LEAD + step + torch.arange(-SEEN, 0, device=self.device)
        frames = (LEAD + step) * FRAMES + torch.arange(-SEEN * FRAMES, 0, device=self.device)
        near = step.clamp(max=self.horizon - 1) + torch.arange(PAST + 1 + AHEAD, device=self.device)
        return {
            "codes": state.codes[row, last].flatten(1),
            "speed": (state.speed.gather(1, frames) * (FPS / FASTEST)).clamp(max=1.0),
            "music": state.music[row, near],
            "progress": step.float() / self.horizon,
        }

    def reference_action(self, state: DanceState) -> Tensor:  # type: ignore[override]
        """The first of the codes that pay most, of those that clips make likely."""
        return planner.choose(self, state)

    def motion(self, state: DanceState, lead: bool = False) -> Motion:
        """The dances so far, from the origin: 8 T + 1 frames; codes not yet danced are number 0.

        Args:
            state: of B rows.
            lead: begin 72 frames earlier, where the clip does from which the dance comes.
        """
        whole = self.codes.decode(state.codes)
        first = 0 if lead else self.lead
        start = whole.root[:, self.lead : self.lead + 1] * whole.root.new_tensor((1, 1, 0))
        return Motion((whole.root - start)[:, first:], whole.rotations[:, first:])

    def before(self, state: DanceState) -> Tensor:
        """The codes that were danced last: int64 [B, 2]."""
        row = torch.arange(len(state.step), device=self.device)
        return state.codes[row, LEAD - 1 + state.step.clamp(max=self.horizon - 1)]

    def render(self, state: DanceState, index: int) -> np.ndarray:  # type: ignore[override]
        """The last second of the dance over music and beats."""
        return viewer.picture(self, state, index)

    def artefact(self, state: DanceState, index: int) -> viewer.Recording:  # type: ignore[override]
        """The dance and its sound; `save` writes mp4, gif, bvh or wav."""
        return viewer.recording(self, state, index)

    def judge(self, final: DanceState) -> dict[str, Tensor]:  # type: ignore[override]
        """Gold metrics of what the codes decode to."""
        parts = [self._judge(final.rows(rows)) for rows in _chunks(final.step)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _judge(self, final: DanceState) -> dict[str, Tensor]:
        codes = final.codes[:, LEAD - 1 :]
        likely = self.judging.log_prob(codes[:, :-1], codes[:, 1:])
        motion = self.motion(final)
        positions, frames = forward(humanoid(str(self.device)).skeleton, *motion)
        join_jerk = torch.zeros_like(final.gap)
        if self.horizon > 1:  # a single code is joined to nothing
            joins = positions.diff(n=3, dim=1)[:, FRAMES - 3 :].unfold(1, 4, FRAMES)
            join_jerk = (joins * FPS**3).norm(dim=-2).mean((1, 2, 3))
        ends = soles(positions, frames)
        return {
            "likelihood": likely.mean(1),
            "jerk": metrics.jerk(positions, FPS),
            "join_jerk": join_jerk,
            "penetration": feet.penetration(lowest(positions, frames)).mean,
            "skate": feet.slide(ends, FPS) / (self.horizon * FRAMES / FPS),
            "repetition": rewards.repetition(final.codes[:, LEAD:]),
        }

    def features(self, final: DanceState) -> Tensor:  # type: ignore[override]
        """Features of every two seconds of each dance, or of all of a shorter one, side by side."""
        size = min(WINDOW, self.horizon * FRAMES)
        many = self.horizon * FRAMES // size
        found = []
        for rows in _chunks(final.step):
            motion = self.motion(final.rows(rows))
            cut = [x[:, : many * size].unflatten(1, (many, size)).flatten(0, 1) for x in motion]
            found.append(features.humanoid_features(cut[0], cut[1], FPS).view(len(rows), -1))
        return torch.cat(found)

    def set_metrics(self, features: Tensor) -> dict[str, float]:
        """Distances to the clips, and diversity, in the clips' own scale."""
        clips, own = self.codes.windows, features.reshape(-1, self.codes.windows.shape[1])
        found = {}
        for name, part in (("k", slice(KINETIC)), ("g", slice(KINETIC, None))):
            pair = metrics.in_scale_of(own[:, part], clips[:, part])
            found[f"fid_{name}"] = frechet_distance(*pair, shrink=True)
            found[f"div_{name}"] = metrics.diversity(pair[0])
        return found


def _chunks(rows: Tensor) -> list[Tensor]:
    return list(torch.arange(len(rows), device=rows.device).split(128))
