"""One random episode of every registered id, on what is installed; run outside the checkout.

Imports nothing but genenvs and what it requires: the environment under test is a bare one.
"""

import importlib.util
import sys
import time
from pathlib import Path

import gymnasium as gym

import genenvs

MOST_STEPS = 20_000
OPTIONAL = ("av", "matplotlib", "peft", "scenedetect", "sklearn", "stable_baselines3")


def play(env_id: str) -> str:
    """Play one random episode to its end and draw the last state; say how it went."""
    started = time.perf_counter()
    env = gym.make(env_id, render_mode="rgb_array")
    env.action_space.seed(0)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation), "first observation outside its space"
    total, ended, steps = 0.0, False, 0
    while not ended:
        action = env.action_space.sample(mask=sample_mask(env, info))
        observation, reward, terminated, truncated, info = env.step(action)
        total, ended, steps = total + reward, terminated or truncated, steps + 1
        assert steps <= MOST_STEPS, f"no end after {MOST_STEPS} steps"
    assert env.observation_space.contains(observation), "last observation outside its space"
    picture = env.render()
    assert picture.ndim == 3 and picture.dtype == "uint8", "the picture is not uint8 H x W x 3"
    env.close()
    seconds = time.perf_counter() - started
    return f"{steps} steps, return {total:.3f}, picture {picture.shape}, {seconds:.1f} s"


def sample_mask(env: gym.Env, info: dict):
    """The mask in the form that `Discrete.sample` takes; None where the task has none."""
    if isinstance(env.action_space, gym.spaces.Discrete) and "action_mask" in info:
        return info["action_mask"].astype("int8")
    return None


def main() -> int:
    home = Path(genenvs.__file__).resolve()
    assert Path(sys.prefix).resolve() in home.parents, f"genenvs was imported from {home}"
    extras = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    assert not extras, f"this environment is not a bare one: it has {extras}"
    registered = [id for id, spec in gym.registry.items() if spec.namespace == "genenvs"]
    assert registered, "no id is registered"
    failed = 0
    for env_id in registered:
        try:
            print(f"{env_id}: {play(env_id)}", flush=True)
        except Exception as error:
            failed += 1
            print(f"{env_id}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    print(f"{len(registered) - failed} of {len(registered)} ids played from {home.parent}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
