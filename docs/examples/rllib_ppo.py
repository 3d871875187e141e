"""RLlib's PPO on genenvs: every env runner, local or on a cluster, steps a native batch."""

import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import FlattenObservations

from genenvs.interop.rllib import register


def settings(env_id="genenvs/DenoiseSchedule-v0", runners=2, seed=0):
    """PPO with `runners` processes that collect; the driver learns."""
    return (
        PPOConfig()
        .environment(env_id, env_config={"split": "train"})
        .env_runners(
            num_env_runners=runners,
            num_envs_per_env_runner=16,
            gym_env_vectorize_mode="vector_entry_point",
            # RLlib has no default network for a Dict or an index.
            env_to_module_connector=lambda env, spaces, device: FlattenObservations(),
        )
        .training(gamma=1.0, lr=1e-3, train_batch_size=2048, minibatch_size=256, num_epochs=4)
        .debugging(seed=seed)
    )


def train(iterations=10, **arguments):
    """Yield the mean return of the episodes that ended in each iteration."""
    register()
    algorithm = settings(**arguments).build_algo()
    for _ in range(iterations):
        yield algorithm.train()["env_runners"]["episode_return_mean"]
    algorithm.stop()


if __name__ == "__main__":
    ray.init()  # RAY_ADDRESS=... joins a cluster; without it, one starts on this machine
    for iteration, mean in enumerate(train()):
        print(f"iteration {iteration}: mean return {mean:.4f}")
