"""Laws 2 and 11: what an episode depends on, and that the splits never meet."""

import random
from typing import Any

import numpy as np
import torch

from genenvs.core.task import SPLITS, State
from genenvs.testing.laws import check, numpy, require, same
from genenvs.testing.play import Event, Play, Subject, row_info, row_of

_SEEDS, _EPISODES, _INSTANCES = 256, 4, 64


@check(2)
def row_i_of_a_batch_is_the_single_environment_seeded_i(subject: Subject) -> None:
    """Step for step, through autoresets and a partial reset, whatever the batch size."""
    _rows_are_singles(subject, 1, subject.play_steps, horizon=subject.short)
    _rows_are_singles(subject, subject.num_envs, subject.play_steps, horizon=subject.short)
    if subject.horizon != subject.short:
        _rows_are_singles(subject, 2, min(subject.steps, subject.horizon + 3))


@check(2)
def a_list_of_seeds_gives_each_row_its_own(subject: Subject) -> None:
    """`reset(seed=[...])`; None among them goes on with that row's sequence."""
    envs = subject.batch(3)
    seeds = [subject.seed + 11, subject.seed, subject.seed + 11]
    observation, _ = envs.reset(seed=seeds)
    first = numpy(observation)
    for row, seed in enumerate(seeds):
        alone, _ = subject.single().reset(seed=seed)
        same(2, "row of reset(seed=[...]) is the single environment of that seed",
             alone, row_of(first, row), subject.tolerance, row=row, seed=seed)  # fmt: skip
    _, info = envs.reset(seed=[None, subject.seed, None])
    same(2, "None in a list of seeds goes on to the next episode of that row",
         [1, 0, 1], numpy(info["episode_index"]).tolist())  # fmt: skip


@check(2)
def options_episode_starts_where_resets_would_have_come(subject: Subject) -> None:
    """`options={"episode": k}` is k resets further, on both faces."""
    env = subject.single()
    env.reset(seed=subject.seed)
    later = [numpy(env.reset()) for _ in range(3)]
    for k, expected in enumerate(later, start=1):
        got = subject.single().reset(seed=subject.seed, options={"episode": k})
        same(2, 'reset(seed, options={"episode": k}) is reset(seed) and k more resets',
             expected, numpy(got), subject.tolerance, episode=k)  # fmt: skip
    episodes = np.array([3, 1])
    observation, _ = subject.batch(2).reset(seed=[subject.seed] * 2, options={"episode": episodes})
    for row, k in enumerate(episodes):
        same(2, 'options={"episode": [...]} holds row by row', later[k - 1][0],
             row_of(numpy(observation), row), subject.tolerance, row=row,
             episode=int(k))  # fmt: skip


@check(2)
def the_same_seed_gives_the_same_episode_again(subject: Subject) -> None:
    """And another seed another one: with equal actions two plays are equal to the last bit."""
    envs = subject.batch(horizon=subject.short)
    first = Play(envs, subject.seed).on(subject.play_steps)
    again = Play(envs).again(first.events)
    for one, two in zip(first.events, again.events, strict=True):
        same(2, "a play repeated from the same seed is the same", one.result, two.result,
             step=one.step)  # fmt: skip
    starts = [numpy(envs.reset(seed=subject.seed + 1000 * k)) for k in range(4)]
    keys = {int(numpy(info["seed"])[0]) for _, info in starts}
    require(len(keys) == 4, 2, "info['seed'] names the seed of each row", expected=4, got=len(keys))


@check(2)
def global_random_states_stay_untouched(subject: Subject) -> None:
    """Neither used nor moved: python's, numpy's and torch's."""
    kept = _global_states()
    try:
        plays = []
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            before = _global_states()
            play = Play(subject.batch(horizon=subject.short), subject.seed)
            play.on(subject.short + 1)
            after = _global_states()
            for name, value in before.items():
                same(2, f"the global random state of {name} is left alone",
                     numpy(value), numpy(after[name]))  # fmt: skip
            plays.append(play)
        for one, two in zip(plays[0].events, plays[1].events, strict=True):
            same(2, "nothing depends on the global random states", one.result, two.result,
                 step=one.step)  # fmt: skip
    finally:
        random.setstate(kept["python"])
        np.random.set_state(kept["numpy"])
        torch.set_rng_state(kept["torch"])


@check(11)
def the_streams_of_the_splits_never_meet(subject: Subject) -> None:
    """Keys (and endless instances) of train, validation and test are disjoint."""
    seeds = torch.arange(_SEEDS).repeat_interleave(_EPISODES)
    episode = torch.arange(_EPISODES).repeat(_SEEDS)
    keys: dict[str, set[int]] = {}
    instances: dict[str, set[int]] = {}
    for split in SPLITS:
        envs = subject.batch(2, split=split)
        stream = envs.episodes.stream(seeds.to(envs.device))
        instance, key = envs.episodes.draw(stream, episode.to(envs.device))
        keys[split] = set(key.tolist())
        require(len(keys[split]) == len(seeds), 11, "no two episodes share a key",
                expected=len(seeds), got=len(keys[split]), split=split)  # fmt: skip
        if envs.task.num_instances is None:
            instances[split] = set(instance.tolist())
        envs.reset(seed=0)
        row = envs.episodes.draw(
            envs.episodes.stream(torch.arange(2, device=envs.device)),
            torch.zeros(2, dtype=torch.int64, device=envs.device),
        )
        same(11, "state.instance and state.key are those that the split's streams drew",
             numpy(list(row)), numpy([envs.state.instance, envs.state.key]),
             split=split)  # fmt: skip
    for name, table in (("keys", keys), ("instances", instances)):
        for one, two in (("train", "validation"), ("train", "test"), ("validation", "test")):
            shared = table.get(one, set()) & table.get(two, set())
            require(not shared, 11, f"{name} of two splits are disjoint", expected="none in common",
                    got=f"{len(shared)} in common", splits=f"{one}, {two}")  # fmt: skip


@check(11)
def finite_instances_of_the_splits_differ(subject: Subject) -> None:
    """No instance of one split asks for the same as one of another."""
    seen: dict[bytes, str] = {}
    for split in SPLITS:
        task = subject.batch(1, split=split).task
        if task.num_instances is None:
            return
        instance = torch.arange(min(task.num_instances, _INSTANCES), device=task.device)
        state = task.initial_state(instance, torch.zeros_like(instance))
        rows = _contents(state)
        if len(set(rows)) == 1 and len(rows) > 1:
            return  # the state holds nothing of the instance but its index
        for index, content in enumerate(rows):
            other = seen.setdefault(content, split)
            require(other == split, 11, "an instance belongs to one split alone", instance=index,
                    split=split, expected="a state of its own",
                    got=f"one of {other}'s")  # fmt: skip


@check(11)
def instances_restricts_the_split(subject: Subject) -> None:
    """`instances=N` leaves the first N instances, met in turn."""
    count = subject.arguments.get("instances") or subject.batch(1).task.num_instances or 3
    limit = min(3, count)
    envs = subject.batch(2, instances=limit)
    allowed = set(envs.episodes.at(torch.arange(limit, device=envs.device)).tolist())
    met: list[set[int]] = [set(), set()]
    for episode in range(2 * limit):
        envs.reset(seed=subject.seed if episode == 0 else None)
        for row, instance in enumerate(envs.state.instance.tolist()):
            met[row].add(instance)
            require(instance in allowed, 11, "instances=N admits the first N alone", row=row,
                    episode=episode, expected=sorted(allowed), got=instance)  # fmt: skip
    for row, instances in enumerate(met):
        require(instances == allowed, 11, "N episodes of a row meet all N instances", row=row,
                expected=sorted(allowed), got=sorted(instances))  # fmt: skip


def _rows_are_singles(subject: Subject, num_envs: int, steps: int, **changes: Any) -> None:
    envs = subject.batch(num_envs, **changes)
    play = Play(envs, subject.seed).on(steps, cut=subject.short // 2 + 1)
    for row in range(num_envs):
        env = subject.single(**changes)
        for event in play.events:
            expected = _single_event(env, event, row, subject.seed + row)
            if expected is None:
                continue
            got = {k: row_of(v, row) for k, v in event.result.items() if k != "info"}
            got["info"] = row_info(event.result["info"], row)
            same(2, f"row i of {num_envs} is the single environment of seed + i", expected, got,
                 subject.tolerance, row=row, step=event.step)  # fmt: skip


def _single_event(env: Any, event: Event, row: int, seed: int) -> dict[str, Any] | None:
    if event.actions is None:
        if event.mask is not None and not event.mask[row]:
            return None
        observation, info = env.reset(seed=None if event.seed is None else seed)
        return {"observation": observation, "info": info}
    if event.before is not None and event.before[row]:
        observation, info = env.reset()
        return {"observation": observation, "reward": 0.0, "terminated": False, "truncated": False,
                "info": info}  # fmt: skip
    names = ("observation", "reward", "terminated", "truncated", "info")
    return dict(zip(names, env.step(event.actions[row]), strict=True))


def _global_states() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
    }


def _contents(state: State) -> list[bytes]:
    own = {k: numpy(v) for k, v in state.tensors().items() if k not in ("instance", "key", "step")}
    return [
        b"".join(np.ascontiguousarray(v[i]).tobytes() for v in own.values())
        for i in range(len(state.key))
    ]
