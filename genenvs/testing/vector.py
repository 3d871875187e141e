"""Laws that any Gymnasium `VectorEnv` can be held to."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate

from genenvs.testing.laws import LawError, numpy, require, same
from genenvs.testing.play import Event, Play, random_actions, row_info, row_of

AnyVectorEnv = VectorEnv[Any, Any, Any]
_NO_END = "no episode ended within {} steps: what autoreset does was not seen"


@dataclass
class Given:
    """A vector environment under test, and how to make one of another size."""

    envs: AnyVectorEnv
    make: Callable[[int], AnyVectorEnv] | None
    seed: int
    steps: int
    tolerance: float

    @property
    def mode(self) -> Any:
        """What its metadata says of autoreset."""
        return (self.envs.metadata or {}).get("autoreset_mode")

    def play(self, steps: int, until_end: bool = False) -> Play:
        """Reset to the seed and play random legal actions, at most until some row ends."""
        play = Play(self.envs, self.seed)
        play.reset(seed=self.seed)
        self.go_on(play, steps, until_end)
        return play

    def go_on(self, play: Play, steps: int, until_end: bool = False) -> None:
        """Play on; with autoreset disabled, ended rows are reset by mask."""
        for _ in range(steps):
            assert play.ended is not None
            if until_end and play.ended.any():
                break
            if self.mode is AutoresetMode.DISABLED and play.ended.any():
                play.reset(play.ended)
            play.step(self.actions(play))

    def actions(self, play: Play) -> np.ndarray:
        """Random actions, within `info["action_mask"]` where there is one."""
        space, info = self.envs.single_action_space, play.events[-1].result["info"]
        masks = info.get("action_mask")
        if not isinstance(masks, np.ndarray) or masks.dtype != bool or masks.ndim != 2:
            masks = None
        if isinstance(space, spaces.Box) and not space.is_bounded():
            return np.stack([space.sample() for _ in range(self.envs.num_envs)])
        return random_actions(space, masks, self.envs.num_envs, play.rng)


def check_vector_env(
    envs: AnyVectorEnv | Callable[[int], AnyVectorEnv],
    *,
    num_envs: int = 3,
    seed: int = 7,
    steps: int = 200,
    tolerance: float = 0.0,
    collect: bool = False,
) -> list[LawError]:
    """Hold any Gymnasium vector environment with numpy results to the laws that fit it.

    Spaces and metadata, seeding row by row, flags, observations, partial resets, the three
    autoreset modes, action counts and storage. The environment is reset and stepped; it is left in
    some state and not closed.

    Args:
        envs: the environment, or a function that makes one of a given number of rows: only with
            that can rows be compared between batch sizes.
        num_envs: rows of the batch that a function is asked for.
        seed: of the first row.
        steps: played at most; a warning says so if no episode ended within them.
        tolerance: what two batch sizes may differ by.
        collect: return all errors instead of raising the first.

    Returns:
        The laws that broke: none, or with `collect` maybe some.

    Raises:
        LawError: the first law that does not hold.
        TypeError: this is no vector environment.
    """
    make = None if isinstance(envs, VectorEnv) else envs
    made = envs if isinstance(envs, VectorEnv) else envs(num_envs)
    if not isinstance(made, VectorEnv):
        raise TypeError(f"check_vector_env needs a gymnasium.vector.VectorEnv; got {type(made)}")
    given = Given(made, make, seed, steps, tolerance)
    errors = []
    for function, law in _CHECKS.items():
        try:
            try:
                function(given)
            except LawError:
                raise
            except Exception as error:
                name, seen = function.__name__.strip("_"), f"{type(error).__name__}: {error}"
                what = f"{name} could not be looked at: the environment raised {seen}"
                raise LawError(law, what) from error
        except LawError as error:
            if not collect:
                raise
            errors.append(error)
    return errors


def _spaces_and_metadata(given: Given) -> None:
    envs = given.envs
    for name in ("observation_space", "action_space"):
        single = getattr(envs, f"single_{name}", None)
        require(single is not None, 3, f"a vector environment has single_{name}")
        expected = batch_space(single, envs.num_envs)  # type: ignore[arg-type]
        require(getattr(envs, name) == expected, 3, f"{name} is single_{name} batched",
                expected=expected, got=getattr(envs, name))  # fmt: skip
    require(isinstance(given.mode, AutoresetMode), 3, "metadata names the autoreset mode",
            expected="an AutoresetMode", got=given.mode)  # fmt: skip


def _the_same_seed_gives_the_same_play(given: Given) -> None:
    play = given.play(given.steps)
    again = Play(given.envs).again(play.events)
    for one, two in zip(play.events, again.events, strict=True):
        for key in ("observation", "reward", "terminated", "truncated"):
            same(2, "a play repeated from the same seed is the same", one.result.get(key),
                 two.result.get(key), step=one.step, result=key)  # fmt: skip


def _row_i_has_seed_s_plus_i(given: Given) -> None:
    first = numpy(given.envs.reset(seed=given.seed)[0])
    shifted = numpy(given.envs.reset(seed=given.seed + 1)[0])
    for row in range(given.envs.num_envs - 1):
        same(
            2,
            "row i of seed s + 1 is row i + 1 of seed s: an episode depends on its seed alone",
            row_of(first, row + 1),
            row_of(shifted, row),
            given.tolerance,
            row=row,
        )


def _a_list_of_seeds_is_taken(given: Given) -> None:
    seeds: Any = [given.seed + i for i in range(given.envs.num_envs)]
    first = numpy(given.envs.reset(seed=given.seed)[0])
    listed = numpy(given.envs.reset(seed=seeds)[0])
    same(2, "reset(seed=s) is reset(seed=[s, s + 1, ...])", first, listed)


def _the_batch_size_does_not_matter(given: Given) -> None:
    if given.make is None:
        return
    play = given.play(given.steps)
    for row in range(given.envs.num_envs):
        alone = given.make(1)
        other = Play(alone)
        for event in play.events:
            own = None if event.mask is None else event.mask[row : row + 1]
            if own is not None and not own.any():
                continue
            actions = None if event.actions is None else event.actions[row : row + 1]
            seed = None if event.seed is None else given.seed + row
            twin = other.again([Event(event.step, {}, seed, own, actions)]).events[-1]
            for key in ("observation", "reward", "terminated", "truncated"):
                if key in event.result:
                    same(2, "row i is the same in a batch of one seeded s + i",
                         row_of(twin.result[key], 0), row_of(event.result[key], row),
                         given.tolerance, row=row, step=event.step, result=key)  # fmt: skip
        alone.close()


def _results_have_their_form(given: Given) -> None:
    envs, count, ended = given.envs, given.envs.num_envs, False
    for event in given.play(given.steps).events:
        where = {"step": event.step}
        rows = list(iterate(envs.observation_space, event.result["observation"]))
        require(len(rows) == count, 5, "there is an observation for every row", expected=count,
                got=len(rows), **where)  # fmt: skip
        for row, observation in enumerate(rows):
            require(envs.single_observation_space.contains(observation), 5,
                    "observations lie in their space", row=row,
                    expected=envs.single_observation_space, got=observation, **where)  # fmt: skip
        if event.actions is None:
            continue
        for key in ("terminated", "truncated"):
            value = event.result[key]
            good = isinstance(value, np.ndarray) and value.dtype == bool and value.shape == (count,)
            require(good, 5, f"{key} is bool [B]", expected=f"bool {[count]}",
                    got=f"{getattr(value, 'dtype', type(value))} {list(np.shape(value))}",
                    **where)  # fmt: skip
        reward = event.result["reward"]
        require(isinstance(reward, np.ndarray) and reward.dtype.kind == "f"
                and reward.shape == (count,), 5, "rewards are floating point [B]",
                got=f"{getattr(reward, 'dtype', type(reward))} {list(np.shape(reward))}",
                **where)  # fmt: skip
        require(bool(np.isfinite(reward).all()), 5, "rewards are finite", got=reward, **where)
        ended = ended or bool((event.result["terminated"] | event.result["truncated"]).any())
        _info_has_masks(event.result["info"], count, event.step)
    if not ended:
        warnings.warn(_NO_END.format(given.steps), stacklevel=4)


def _info_has_masks(info: Mapping[str, Any], count: int, step: int) -> None:
    for key in [k for k in info if not k.startswith("_")]:
        mask = info.get(f"_{key}")
        if mask is None:
            continue  # a vector environment may add keys of the whole batch
        good = isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == (count,)
        require(good, 3, "the masks of info are bool [B]", key=f"_{key}", step=step,
                got=f"{getattr(mask, 'dtype', type(mask))} {list(np.shape(mask))}")  # fmt: skip


def _reset_mask_resets_its_rows_alone(given: Given) -> None:
    envs, count = given.envs, given.envs.num_envs
    if count < 2:
        return
    for row in (0, count - 1):
        play = given.play(3)
        if play.ended is not None and play.ended.any():
            play = given.play(1)
        shown = play.events[-1].result["observation"]
        mask = np.arange(count) == row
        reset = play.reset(mask)
        others = [int(other) for other in np.flatnonzero(~mask)]
        for other in others:
            same(3, "reset_mask leaves the other rows alone", row_of(shown, other),
                 row_of(reset.result["observation"], other), row=other,
                 reset_mask=mask.tolist())  # fmt: skip
        before = play.events[:-1]
        mine = play.step(given.actions(play))
        theirs = Play(envs).again([*before, mine]).events[-1]
        for other in others:
            for key in ("observation", "reward"):
                same(3, "rows outside reset_mask go on as if nothing had happened",
                     row_of(theirs.result[key], other), row_of(mine.result[key], other),
                     given.tolerance, row=other, result=key)  # fmt: skip


def _bad_reset_masks_raise(given: Given) -> None:
    count = given.envs.num_envs
    given.play(1)
    for name, mask in (
        ("of a wrong length", np.ones(count + 1, bool)),
        ("all False", np.zeros(count, bool)),
        ("of integers", np.ones(count, np.int64)),
    ):
        try:
            given.envs.reset(options={"reset_mask": mask})
        except Exception:
            continue
        raise LawError(3, f"a reset_mask {name} raises", expected="an exception", got="a reset")


def _ended_rows_follow_the_mode(given: Given) -> None:
    play = given.play(given.steps, until_end=True)
    ended = play.ended
    if ended is None or not ended.any():
        return  # the warning of `_results_have_their_form` says so
    last = play.events[-1]
    if given.mode is AutoresetMode.SAME_STEP:
        _final_values(given, last)
    elif given.mode is AutoresetMode.DISABLED:
        actions = given.actions(play)
        try:
            given.envs.step(actions)
        except Exception:
            return
        raise LawError(3, "with autoreset disabled, stepping an ended row raises",
                       rows=np.flatnonzero(ended).tolist(), expected="an exception",
                       got="a step")  # fmt: skip
    else:
        _next_step(given, play, ended)


def _final_values(given: Given, last: Event) -> None:
    info = last.result["info"]
    ended = last.result["terminated"] | last.result["truncated"]
    for key in ("final_obs", "final_info"):
        require(key in info and f"_{key}" in info, 3, f"SAME_STEP gives {key} of ended rows",
                step=last.step, expected=f"{key} and _{key}", got=sorted(info))  # fmt: skip
        same(3, f"_{key} marks the ended rows", ended, info[f"_{key}"], step=last.step)
    for row in np.flatnonzero(ended):
        final = info["final_obs"][row]
        require(given.envs.single_observation_space.contains(final), 3,
                "a final observation lies in the space", row=int(row), step=last.step,
                got=final)  # fmt: skip
        row_info(info["final_info"], int(row))
        shown = row_of(last.result["observation"], int(row))
        try:
            same(3, "", final, shown)
        except LawError:
            continue
        raise LawError(3, "SAME_STEP shows the next episode and keeps the last in final_obs",
                       row=int(row), step=last.step,
                       got="the same observation in both")  # fmt: skip


def _next_step(given: Given, play: Play, ended: np.ndarray) -> None:
    calls = list(play.events)
    actions = given.actions(play)
    one = play.step(actions)
    for row in np.flatnonzero(ended):
        got = [one.result[k][row] for k in ("reward", "terminated", "truncated")]
        same(3, "the step that resets a row has reward 0 and no flag", [0.0, False, False],
             got, row=int(row), step=one.step)  # fmt: skip
    twin = Play(given.envs).again(calls)
    for _ in range(8):  # other actions in the ended rows alone
        others = given.actions(play)
        changed = actions.copy()
        changed[ended] = others[ended]
        if (changed != actions).any():
            break
    two = twin.step(changed)
    for row in np.flatnonzero(ended):
        same(3, "NEXT_STEP ignores the action of an ended row",
             row_of(one.result["observation"], int(row)),
             row_of(two.result["observation"], int(row)), row=int(row), step=one.step)  # fmt: skip


def _wrong_action_counts_raise(given: Given) -> None:
    play = given.play(1)
    good = given.actions(play)
    for name, actions in (("too many", np.concatenate([good, good[:1]])), ("too few", good[:-1])):
        if not len(actions):
            continue
        try:
            given.envs.step(actions)
        except Exception:
            given.play(0)
            continue
        raise LawError(9, f"{name} actions raise", expected="an exception",
                       got=f"a step with {len(actions)} actions for {len(good)} rows")  # fmt: skip


def _what_is_returned_stays(given: Given) -> None:
    play = Play(given.envs, given.seed)
    play.reset(seed=given.seed)
    kept = [(play.raw, numpy(play.raw))]
    for _ in range(min(given.steps, 60)):
        given.go_on(play, 1)
        kept.append((play.raw, numpy(play.raw)))
    for number, (raw, copy) in enumerate(kept):
        same(5, "what a call returned is not changed by later calls", copy, numpy(raw), call=number)


def _checks() -> Iterator[tuple[Callable[[Given], None], int]]:
    yield _spaces_and_metadata, 3
    yield _the_same_seed_gives_the_same_play, 2
    yield _row_i_has_seed_s_plus_i, 2
    yield _a_list_of_seeds_is_taken, 2
    yield _the_batch_size_does_not_matter, 2
    yield _results_have_their_form, 5
    yield _reset_mask_resets_its_rows_alone, 3
    yield _bad_reset_masks_raise, 3
    yield _ended_rows_follow_the_mode, 3
    yield _wrong_action_counts_raise, 9
    yield _what_is_returned_stays, 5


_CHECKS = dict(_checks())
