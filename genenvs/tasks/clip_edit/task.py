"""Cut a film from raw footage in the style of a hidden editor."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core import random
from genenvs.core.task import Observation, Outcome, State, Task, Transition
from genenvs.editing import briefs, strips
from genenvs.editing.briefs import CLIPS, EXAMPLE, INS, LEAST_SPAN, LONGEST, MARKED, Given
from genenvs.editing.styles import (
    JOINS,
    LENGTHS,
    NONE,
    OPENING,
    SHOTS,
    UNIT,
    WITHIN,
    load,
)
from genenvs.tasks.clip_edit import actions, rewards, viewer
from genenvs.tasks.clip_edit.actions import (
    ACTIONS,
    CHOOSE_CLIP,
    FINISH,
    JOIN,
    RANGE,
)
from genenvs.video import user
from genenvs.video.attributes import COUNT, LOCATION, WIDTH, one_hot
from genenvs.video.clips import FPS
from genenvs.video.film import CUT
from genenvs.video.footage import Excerpts, pieces

SEEN = 4  # shots of the film that are observed
SHOT = WIDTH + 1 + len(JOINS)  # numbers of a shot
STEPS = 3  # of a shot
FACTS = 7  # numbers of a clip beside its attributes
SAID = 10  # numbers of an action
NUMBERS = 12
_SUMS = ("agreement", "continuity", "jump_cuts", "transition_fit", "aesthetics")
MEASURES = (*_SUMS, "order", "pacing", "filled")  # metrics of a film that is being cut
_USED, _AHEAD, _CHOSEN = 1, 3, 6  # facts of a clip that change
_TRIED, _ALIKE = 256, 0.1  # films of given footage that are looked at, and how many may be no task


@dataclass(frozen=True)
class EditState(State):
    """A batch of unfinished films; lengths and in-points are units of half a second.

    Attributes:
        style: int64 [B], of the hidden editor.
        target: int64 [B], length asked for.
        attributes: int64 [B, 16, 8], of the clips.
        encoded: int8 [B, 16, 36], the same one-hot.
        lengths: int64 [B, 16], of the clips.
        marked: int64 [B, 16, 2], what is good in them: first unit, units.
        story: float32 [B, 16], when in the story they happen.
        strip: int64 [B, 8, 8], attributes of the example's shots.
        example: float32 [B, 8, 41], these shots as they are observed.
        values: float32 [B, 36], how often each value is in the strip, see `strips.Strip`.
        habits: float32 [B, 3, 8], how often it keeps one, takes one up again, walks on.
        timing: float32 [B, 8], how often its shots last 1 .. 8 units.
        ways: float32 [B, 3, 4], how often it goes over in each way, see `strips.joins`.
        shots: int64 [B], of the editor's own film.
        plan: int64 [B, 10, 4], each shot of it: clip, in-point, length, transition.
        low: float32 [B], mean log-probability of a shot by chance, nats.
        span: float32 [B], from there to the editor's.
        taken: int64 [B, 16], which pieces of the user's footage the clips are; -1 of drawn ones.
        pace: float32 [B], units that the style's shots last in the mean.
        facts: float32 [B, 16, 7], of the clips as they are observed, what changes left 0.
        used: bool [B, 16], clips that are in the film.
        legal: bool [B, 85], the mask.
        phase: int64 [B], what is to be chosen: clip, range, transition.
        pending: int64 [B, 3], what was chosen of the next shot: clip, in-point, length.
        count: int64 [B], shots of the film.
        filled: int64 [B], its length.
        film: int64 [B, S, 4], its shots: clip, in-point, length, transition.
        last: int64 [B, 2, 8], attributes of the shot before the last, and of the last.
        recent: float32 [B, 4, 41], the last shots as they are observed, the last one first.
        concordant: int64 [B], pairs of shots in the story's order less those out of it.
        now: float32 [B], when in the story the last shot happens.
        sums: float32 [B, 5], agreement, continuity, jump cuts, transition fit, aesthetics.
        measures: float32 [B, 8], the metrics of the film, in the order of `MEASURES`.
    """

    style: Tensor
    target: Tensor
    attributes: Tensor
    encoded: Tensor
    lengths: Tensor
    marked: Tensor
    story: Tensor
    strip: Tensor
    example: Tensor
    values: Tensor
    habits: Tensor
    timing: Tensor
    ways: Tensor
    shots: Tensor
    plan: Tensor
    low: Tensor
    span: Tensor
    taken: Tensor
    pace: Tensor
    facts: Tensor
    used: Tensor
    legal: Tensor
    phase: Tensor
    pending: Tensor
    count: Tensor
    filled: Tensor
    film: Tensor
    last: Tensor
    recent: Tensor
    concordant: Tensor
    now: Tensor
    sums: Tensor
    measures: Tensor


class ClipEdit(Task):
    """Cut a film from raw footage in the style of a hidden editor.

    ## Description
    An episode is a brief: a length, a pace, a story, sixteen clips of raw footage, and a strip of
    eight shots by an editor whose style is to be met. Each shot of the film is chosen in three
    steps: a clip; from where in it and for how long; how the film goes over to it.

    A clip has RLAVE's eight attributes: shot size, angle, motion, type, subject, number, sound,
    location. A style is a grammar over them: the next shot's value of an attribute follows the
    editor's taste, or keeps that of the last shot, takes up the one before (shot, reverse shot), or
    walks one on; how often is the style's, and so are the lengths of shots and the transitions.
    The pool holds the clips from which the editor cut a film of six to ten shots, and clips in
    another style. Times are multiples of half a second. `env.unwrapped.artefact().save(path)` keeps
    a film as .mp4 with its sound, .edl, .otio or .txt; `save(path, media=folder)` writes the clips
    beside a list, so that editing software finds them.

    ## Action space
    `Discrete(85)`: 0 .. 15 a clip; 16 finish; 17 .. 80 in-point and length: 17 + 8 * in-point
    (0 .. 7 units) + length (1 .. 8 units) - 1; 81 .. 84 the transition: cut, dissolve, fade, wipe.
    The mask is exact, and says which of the three is to be chosen. A clip is used once: under a
    grammar nothing is likelier than a shot that follows itself. A shot fits into its clip and into
    the time that is left; a film opens by a cut or a fade. An illegal action changes nothing, but
    takes its step.

    ## Observation space
    `Dict`, float32 within -1 .. 1 but for `pool`, int8 of 0 and 1:
    | key | shape | meaning |
    |---|---|---|
    | `example` | [8, 41] | shots of the strip: attributes one-hot (36), length / 8, transition |
    | `film` | [4, 41] | the same of the film's last shots, the last one first; zeros without one |
    | `pool` | [16, 36] | attributes of the clips |
    | `clips` | [16, 7] | length / 12; whether it is used; when in the story; that less the last
    shot's; where what is marked begins / 12, its length / 8; whether it is chosen |
    | `choices` | [85, 10] | a row for every action, see below |
    | `numbers` | [12] | phase one-hot (3), chosen in-point / 8 and length / 8, time left / time
    asked for, this / 80, left / 80, mean length of a shot and the brief's / 8, shots /
    most, steps left / horizon |

    A row of `choices` is zero where the action is illegal. Else it says, and is zero where that
    has no meaning: that it is legal; of a clip four counts in the example, means over its
    attributes: how often the value is there, and where it is that of the last shot, that of the
    shot before or the one after the last one's, how often the example keeps, takes up again,
    walks on; when in the story it is, less the last shot; of a length or a transition how often
    the example has it (transitions: where the location stays, changes or the film opens, as here,
    one of each added); how much of what is marked a range shows / 8; the `pacing` metric's measure
    of the mean length of a shot with it; its length / left.

    ## Rewards
    `agreement`, `order`, `pacing`, `continuity`, `jump_cuts` (a price), `transition_fit`,
    `aesthetics`: the change of the metric of that name; `length`: that of `filled`. All are shares
    of the time asked for, so that many short shots earn nothing by themselves and an empty film
    earns nothing at all. `invalid`: a price of illegal actions. The terms pull in different
    directions: an editor does make jump cuts. `genenvs.interop.mo` pays them as a vector.

    ## Metrics
    `agreement` scores an episode. For every shot the log-probability of its attributes under the
    grammar, less the mean where different clips of the pool follow each other at random, over what
    the editor's own films have more than that in expectation; the mean over the time asked for. 1
    is the editor, no upper bound: of the films that are known the best paid has the editor's clips
    in the editor's order, but gives the time to those that are likeliest (`stretched` among the
    scores below). `cadence` tells it; a film of nothing but likely clips `habits` does not tell.
    `order`: Kendall's tau. `pacing`, `continuity`, `jump_cuts`, `transition_fit`, `aesthetics`,
    `filled`, `shots`, `invalid`. Gold, never paid: `cadence`, the distance of shot lengths from the
    style's distribution; `habits`, how far what shots keep of the last one is from what the style
    keeps; `repetition` of views; `distinct_2` of shot sizes and angles; `smooth`, how cuts look in
    the pixels of the film.

    ## Starting state
    An empty film. Style, editor's film, strip and pool are drawn from the instance; 1,024 styles in
    `train`, 128 in `validation`, 256 in `test`, none in two of them.

    ## Episode end
    Terminates by finishing, when the time is filled, or at the horizon.

    ## Arguments
    - `footage` (None): a film or a folder of films of yours (mp4, mov, m4v, mkv, webm, gif; extra
    `video`), to cut instead of drawn clips. Files are shared out among the splits, cut into shots,
    these into parts of at most 6 s, and their attributes guessed (`docs/video.md`); a pool is
    sixteen parts. Then the editor takes from a pool what is likeliest, shot by shot, and such films
    have the agreement 1 on average, where parts differ enough in their attributes for the editor's
    choice to be a nat likelier than chance; where they do not, a warning says how often. Story and
    marks are drawn as ever. A file that cannot be used is left out with a warning. Of fewer than
    three files every split has all, with a warning.
    - `horizon` (48): most steps; 16 shots.
    - those of every environment: `split`, `instances`, `reward_weights`, `device`, `dtype`.

    ## Faithful / deviates
    Faithful (RLAVE): shots described by eight attributes, a policy that learns from agreement with
    a professional's edit. Deviates: the professional is a grammar, which can be asked for the
    probability of any edit; RLAVE predicts attributes (`ShotAttributes`), here they are those of
    clips that exist, with lengths and transitions; the other terms are ours, its constants are not
    published.

    ## Version history
    - v0: first version.
    """

    ends = "terminates"
    terms = rewards.TERMS
    metrics = rewards.METRICS

    def __init__(self, *, footage: str | None = None, **common: Any) -> None:
        """See the page for arguments.

        Raises:
            ImportError: footage of one's own without PyAV or PySceneDetect; names the extra.
            ValueError: it cannot be read, or is not enough for a pool.
        """
        super().__init__(**common)
        self.styles = load(self.split, self.device)
        self.own, self.given = None, None
        if footage is not None:
            self.own = _pieces(footage, self.split)
            units = self.own.length // round(UNIT * FPS)
            self.given = Given(self.own.attributes.to(self.device), units.to(self.device))
            self._warn_of_likeness(self.given)
        self.most = min(CLIPS, -(-self.horizon // STEPS))  # shots
        self._tables = actions.tables(self.device)
        self._number = torch.arange(CLIPS, device=self.device)
        self._lasts = torch.arange(1, LENGTHS + 1, device=self.device)
        self._phases = torch.eye(STEPS, device=self.device)
        self._joins = torch.eye(len(JOINS), device=self.device)
        longest = LENGTHS * SHOTS
        self._most = torch.tensor(  # of the numbers that are observed as shares
            [LENGTHS, LENGTHS, longest, longest, self.most, self.horizon],
            dtype=torch.float32,
            device=self.device,
        )
        self.action_space = spaces.Discrete(ACTIONS)
        shapes = {
            "example": (EXAMPLE, SHOT),
            "film": (SEEN, SHOT),
            "clips": (CLIPS, FACTS),
            "choices": (ACTIONS, SAID),
            "numbers": (NUMBERS,),
        }
        self.observation_space = spaces.Dict(
            {name: spaces.Box(-1.0, 1.0, shape, np.float32) for name, shape in shapes.items()}
            | {"pool": spaces.Box(0, 1, (CLIPS, WIDTH), np.int8)}
        )

    def _warn_of_likeness(self, given: Given) -> None:
        """Where any cut of the footage is about as likely as the editor's."""
        drawn = briefs.draw(self.styles, random.mix(torch.arange(_TRIED), 0).to(self.device), given)
        alike = float((drawn.span <= LEAST_SPAN).float().mean())
        if alike > _ALIKE:
            kinds = len(given.attributes.unique(dim=0))
            warnings.warn(
                f"in {alike:.0%} of the films cut from this footage the editor's choice is hardly"
                " likelier than chance, so that `agreement` says little of them: its"
                f" {len(given.attributes)} parts have {kinds} different sets of attributes;"
                " footage of more kinds would help",
                stacklevel=2,
            )

    def initial_state(self, instance: Tensor, key: Tensor) -> EditState:
        """A brief and an empty film."""
        brief = briefs.draw(self.styles, instance, self.given)
        rows, device = len(instance), self.device
        none = torch.zeros_like(key)
        nothing = torch.zeros(rows, device=device)
        unused = torch.zeros(rows, CLIPS, dtype=torch.bool, device=device)
        still = torch.zeros(rows, CLIPS, device=device)
        strip = strips.read(brief.example.attributes)
        first, marked = brief.marked.unbind(2)
        facts = [
            brief.lengths / LONGEST,
            still,
            brief.story,
            still,
            first / LONGEST,
            marked / MARKED[1],
            still,
        ]
        example = torch.cat(
            [
                one_hot(brief.example.attributes),
                brief.example.lengths[..., None] / LENGTHS,
                torch.nn.functional.one_hot(brief.example.joins, len(JOINS)).float(),
            ],
            2,
        )
        return EditState(
            instance=instance,
            key=key,
            step=none,
            style=brief.style,
            target=brief.target,
            attributes=brief.attributes,
            encoded=one_hot(brief.attributes).to(torch.int8),
            lengths=brief.lengths,
            marked=brief.marked,
            story=brief.story,
            strip=brief.example.attributes.clone(),
            example=example,
            values=strip.values,
            habits=strip.habits,
            timing=strips.lengths(brief.example),
            ways=strips.joins(brief.example),
            shots=brief.shots,
            plan=brief.plan,
            low=brief.low,
            span=brief.span,
            taken=brief.taken,
            pace=self.styles.pace[brief.style],
            facts=torch.stack(facts, 2),
            used=unused,
            legal=self._tables.mask(none, unused, brief.lengths[:, 0], brief.target, none == 0),
            phase=none.clone(),
            pending=torch.zeros(rows, 3, dtype=torch.int64, device=device),
            count=none.clone(),
            filled=none.clone(),
            film=torch.zeros(rows, self.most, 4, dtype=torch.int64, device=device),
            last=torch.full((rows, 2, COUNT), NONE, device=device),
            recent=torch.zeros(rows, SEEN, SHOT, device=device),
            concordant=none.clone(),
            now=nothing,
            sums=torch.zeros(rows, len(_SUMS), device=device),
            measures=torch.zeros(rows, len(MEASURES), device=device),
        )

    def transition(self, state: EditState, action: Tensor) -> Transition:  # type: ignore[override]
        """Choose a clip, a range of it or a transition, whichever is due."""
        legal = state.legal.gather(1, action[:, None])[:, 0]
        kind = torch.where(legal, self._tables.kind[action], actions.ILLEGAL)
        phase = self._tables.then[kind, state.phase]
        chosen = torch.where(self._tables.sets[kind], self._tables.said[action], state.pending)
        changed = self._append(state, kind == actions.JOINED, (action - JOIN).clamp(min=0))
        count, filled = changed["count"], changed["filled"]
        left = state.target - filled
        length = state.lengths.gather(1, chosen[:, :1])[:, 0]
        mask = self._tables.mask(phase, state.used, length, left, count == 0)
        measures = self._measured(state, changed)
        change = measures - state.measures
        after = state.advance(pending=chosen, phase=phase, legal=mask, measures=measures, **changed)
        metrics = dict(zip(MEASURES, measures.clone().unbind(1), strict=True))
        changes = dict(zip(MEASURES, change.unbind(1), strict=True))
        terms = {
            name: changes[term.change_of] for name, term in self.terms.items() if term.change_of
        }
        terms["invalid"] = metrics["invalid"] = (~legal).float()
        return Transition(
            state=after,
            terms=terms,
            terminated=(kind == actions.FINISHED) | (left <= 0),
            metrics=metrics,
        )

    def _append(self, state: EditState, do: Tensor, join: Tensor) -> dict[str, Tensor]:
        """What changes where (`do`, bool [B]) the pending shot joins the film."""
        rows = torch.arange(len(do), device=self.device)
        clip, start, length = state.pending.unbind(1)
        shot, time = state.attributes[rows, clip], state.story[rows, clip]  # [B, 8], [B]
        earlier, last = state.last.unbind(1)
        opening = state.count == 0
        wide = do[:, None]

        same = shot == last
        case = torch.where(opening, OPENING, (~same[:, LOCATION]).long())  # WITHIN 0, ACROSS 1
        likely = self.styles.of(state.style, earlier, last, shot)
        first, marked = state.marked[rows, clip].unbind(1)
        shares = [
            (likely - state.low) / state.span,
            opening | rewards.continues(same),
            ~opening & rewards.is_jump(same, join == CUT),
            self.styles.fit[state.style, case, join],
        ]
        good = self._tables.shown[first, marked, start, length]
        values = torch.cat([torch.stack(shares, 1) * length[:, None], good[:, None]], 1)
        concordant = ((time[:, None] - state.story).sign() * state.used).sum(1).long()

        # Where nothing is done these write what is there already; a full film (of a row that has
        # ended) writes its last shot.
        place = state.count.clamp(max=self.most - 1)
        written = torch.stack([clip, start, length, join], 1)
        state.film[rows, place] = torch.where(wide, written, state.film[rows, place])
        state.used.logical_or_(wide & (self._number == clip[:, None]))
        seen = torch.cat(
            [state.encoded[rows, clip].float(), length[:, None] / LENGTHS, self._joins[join]], 1
        )
        rolled = torch.cat([seen[:, None], state.recent[:, :-1]], 1)
        wider = wide[..., None]
        return {
            "count": state.count + do,
            "filled": state.filled + length * do,
            "concordant": state.concordant + concordant * do,
            "now": torch.where(do, time, state.now),
            "sums": state.sums + values * wide,
            "last": torch.where(wider, torch.stack([last, shot], 1), state.last),
            "recent": torch.where(wider, rolled, state.recent),
        }

    def _measured(self, state: EditState, changed: dict[str, Tensor]) -> Tensor:
        """The metrics of a film after what has changed: float32 [B, 8], see `MEASURES`."""
        count, filled = changed["count"], changed["filled"]
        whole = [
            rewards.tau(changed["concordant"], count),
            rewards.pacing(filled / count.clamp(min=1), state.pace),
            torch.ones_like(state.pace),
        ]
        share = filled / state.target
        sums = changed["sums"] / state.target[:, None]
        return torch.cat([sums, torch.stack(whole, 1) * share[:, None]], 1)

    def measured(self, state: EditState) -> dict[str, Tensor]:
        """The metrics of kind `step`: float32 [B] each."""
        return dict(zip(MEASURES, state.measures.clone().unbind(1), strict=True))

    def outcome(self, state: EditState) -> Outcome:  # type: ignore[override]
        """What is measured of a whole film."""
        clips, _, lengths, _ = state.film.unbind(2)
        exists = torch.arange(self.most, device=self.device) < state.count[:, None]
        attributes = state.attributes.gather(1, clips[..., None].expand(-1, -1, COUNT))
        return Outcome(
            metrics={
                "shots": state.count.float(),
                "cadence": rewards.cadence(lengths, exists, state.style, self.styles),
                "habits": rewards.habits(attributes, exists, self.styles.kept[state.style]),
                "repetition": rewards.repetition(attributes, exists),
                "distinct_2": rewards.distinct_2(attributes, exists),
            }
        )

    def observe(self, state: EditState) -> Observation:  # type: ignore[override]
        """See the page."""
        clip, start, length = state.pending.unbind(1)
        ahead = (state.story - state.now[:, None]) * (state.count > 0)[:, None]
        clips = state.facts.clone()
        clips[..., _USED] = state.used
        clips[..., _AHEAD] = ahead
        clips[..., _CHOSEN] = (self._number == clip[:, None]) & (state.phase > CHOOSE_CLIP)[:, None]
        left = (state.target - state.filled).clamp(min=0)
        counts = [start, length, state.target, left, state.count, self.horizon - state.step]
        shares = (torch.stack(counts, 1) / self._most).clamp(0, 1)
        means = torch.stack([state.filled / state.count.clamp(min=1), state.pace], 1) / LENGTHS
        numbers = [
            self._phases[state.phase],
            shares[:, :2],
            (left / state.target)[:, None],
            shares[:, 2:4],
            means,
            shares[:, 4:],
        ]
        return {
            "example": state.example.clone(),
            "film": state.recent.clone(),
            "pool": state.encoded.clone(),
            "clips": clips,
            "choices": self._choices(state, ahead, left),
            "numbers": torch.cat(numbers, 1),
        }

    def _choices(self, state: EditState, ahead: Tensor, left: Tensor) -> Tensor:
        """What is said of every action, see the page: float32 [B, 85, 10]."""
        count = len(left)
        rows = torch.arange(count, device=self.device)
        before, last = state.last.unbind(1)
        clip = state.pending[:, 0]
        said = torch.zeros(count, ACTIONS, SAID, device=self.device)
        said[..., 0] = state.legal

        hints = strips.hints(state.values, state.habits, before, last)
        hints = state.encoded.float() @ hints / COUNT  # [B, 16, 4]
        clips = torch.cat([hints, ahead[..., None]], 2)
        torch.mul(clips, state.legal[:, :CLIPS, None], out=said[:, :CLIPS, 1:6])

        first, marked = state.marked[rows, clip].unbind(1)
        mean = (state.filled[:, None] + self._lasts) / (state.count + 1)[:, None]
        lasting = [
            state.timing,
            rewards.pacing(mean, state.pace[:, None]),
            (self._lasts / left.clamp(min=1)[:, None]).clamp(max=1),
        ]
        legal = state.legal[:, RANGE:JOIN].view(count, INS, LENGTHS)
        ranges = said[:, RANGE:JOIN].view(count, INS, LENGTHS, SAID)
        for column, value in zip((6, 8, 9), lasting, strict=True):
            torch.mul(value[:, None], legal, out=ranges[..., column])
        shown = self._tables.shown[first, marked, :, 1:] / LENGTHS
        torch.mul(shown, legal, out=ranges[..., 7])

        place = state.attributes[rows, clip, LOCATION]
        case = torch.where(state.count == 0, OPENING, (place != last[:, LOCATION]).long())
        torch.mul(state.ways[rows, case], state.legal[:, JOIN:], out=said[:, JOIN:, 6])
        return said

    def action_mask(self, state: EditState) -> Tensor:  # type: ignore[override]
        """See `actions.Tables.mask`."""
        return state.legal.clone()

    def reference_action(self, state: EditState) -> Tensor:  # type: ignore[override]
        """The hidden editor's own cut; where that is no longer possible, the first legal action."""
        place = state.count.clamp(max=SHOTS - 1)
        rows = torch.arange(len(place), device=self.device)
        clip, start, length, join = state.plan[rows, place].unbind(1)
        clip = torch.where(state.count < state.shots, clip, FINISH)
        wish = torch.stack([clip, RANGE + start * LENGTHS + length - 1, JOIN + join], 1)
        action = wish.gather(1, state.phase[:, None])
        legal = self.action_mask(state)
        return torch.where(legal.gather(1, action)[:, 0], action[:, 0], legal.int().argmax(1))

    def judge(self, final: EditState) -> dict[str, Tensor]:  # type: ignore[override]
        """How the film looks: each is drawn at its changes of shot."""
        found = [viewer.smooth(self, final, row) for row in range(len(final.step))]
        return {"smooth": torch.tensor(found, device=self.device)}

    def render(self, state: EditState, index: int) -> np.ndarray:  # type: ignore[override]
        """The film and the editor's own, shot by shot."""
        return viewer.picture(self, state, index)

    def artefact(self, state: EditState, index: int) -> viewer.Cut:  # type: ignore[override]
        """The film of a row: a list of shots, and the clips that they are cut from."""
        return viewer.cut(self, state, index)

    def caption(self, state: EditState, index: int) -> str:
        """A line on how the film of a row goes."""
        row = state.rows(torch.tensor([index], device=self.device))
        found = {name: float(value) for name, value in self.measured(row).items()}
        seconds, asked = UNIT * int(row.filled), UNIT * int(row.target)
        return (
            f"{int(row.count)} shots, {seconds:g} of {asked:g} s; agreement"
            f" {found['agreement']:.2f}, order {found['order']:.2f}, pacing {found['pacing']:.2f}"
        )


def _pieces(footage: str, split: str) -> Excerpts:
    """Parts of the user's films, enough for a pool.

    Raises:
        ValueError: there are not.
    """
    if not isinstance(footage, str) or not footage:
        raise ValueError(f"footage must be a path as text, or None; got {footage!r}")
    found = pieces(user.load(footage, split), round(UNIT * FPS), LONGEST * round(UNIT * FPS))
    if len(found.clip) < CLIPS:
        raise ValueError(
            f"footage={footage!r} has {len(found.clip)} parts of {UNIT} to {UNIT * LONGEST:g} s for"
            f" the split {split!r}; a pool needs {CLIPS}: more films, or longer ones"
        )
    return found


assert WITHIN == 0
