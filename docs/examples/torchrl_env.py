"""TorchRL: every id keeps its specs, as one GymEnv and as the native batch; then a collector."""

import gymnasium as gym
import torch
from torchrl.collectors import Collector
from torchrl.envs import GymEnv, GymWrapper
from torchrl.envs.utils import check_env_specs

import genenvs


def single(env_id, **arguments):
    """One environment. Its actions are indices: a one-hot vector may have thousands of entries."""
    return GymEnv(env_id, categorical_action_encoding=True, **arguments)


def batch(env_id, num_envs, **arguments):
    """The native batch: one network evaluation a step for all rows, which TorchRL resets itself."""
    arguments |= {"autoreset_mode": "DISABLED", "output": "torch"}
    envs = gym.make_vec(env_id, num_envs=num_envs, **arguments)
    return GymWrapper(envs, categorical_action_encoding=True)


def returns(env_id="genenvs/DenoiseSchedule-v0", num_envs=64, frames=2048):
    """The return of every episode that a random policy ends in so many frames."""
    collector = Collector(batch(env_id, num_envs), frames_per_batch=frames, total_frames=frames)
    (data,) = collector
    collector.shutdown()
    episode, reward = data["collector", "traj_ids"].flatten(), data["next", "reward"].flatten()
    total = torch.zeros(int(episode.max()) + 1).index_add_(0, episode, reward)
    return total[episode[data["next", "done"].flatten()]]


if __name__ == "__main__":
    for env_id in genenvs.ids():
        check_env_specs(single(env_id))
        check_env_specs(batch(env_id, num_envs=4))
    found = returns()
    print(f"{len(found)} random episodes, mean return {found.mean():.4f}")
