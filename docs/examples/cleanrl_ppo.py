"""PPO in one file, as CleanRL has it, for Gymnasium 1.x: truncations bootstrap from final_obs."""

import gymnasium as gym
import torch
from torch import nn
from torch.distributions import Categorical

import genenvs


def flat(obs):  # [B, F]; pixels and the class index at a tenth, lest they drown the other numbers
    return torch.cat([(x if x.ndim == 2 else x / 10).reshape(len(x), -1) for x in obs.values()], 1)


def train(env="genenvs/DenoiseSchedule-v0", steps=40_000, seed=0, gamma=1.0, scale=20.0):
    torch.manual_seed(seed)
    envs = gym.make_vec(env, num_envs=64, autoreset_mode="SAME_STEP", output="torch")
    obs, actions = flat(envs.reset(seed=seed)[0]), envs.single_action_space.n
    actor = nn.Sequential(nn.Linear(len(obs[0]), 128), nn.Tanh(), nn.Linear(128, actions))
    critic = nn.Sequential(nn.Linear(len(obs[0]), 128), nn.Tanh(), nn.Linear(128, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=1e-3)
    for _ in range(steps // (64 * 32)):
        rollout = []
        for _ in range(32):
            policy = Categorical(logits=actor(obs))
            raw, reward, terminated, truncated, info = envs.step(action := policy.sample())
            after = torch.where(truncated[:, None], flat(info.get("final_obs", raw)), flat(raw))
            delta = scale * reward + gamma * critic(after) * ~terminated - critic(obs)
            rollout.append((obs, action, policy.log_prob(action), delta, ~(terminated | truncated)))
            obs = flat(raw)
        *batch, gain, going = (torch.stack(x).detach() for x in zip(*rollout, strict=True))
        for t in reversed(range(31)):
            gain[t] += 0.95 * gamma * going[t] * gain[t + 1]
        batch += [(gain - gain.mean()) / gain.std(), gain + critic(batch[0]).detach().view_as(gain)]
        for rows in torch.cat([torch.randperm(64 * 32) for _ in range(4)]).split(256):
            seen, action, old, gain, target = (x.flatten(0, 1)[rows] for x in batch)
            ratio = (Categorical(logits=actor(seen)).log_prob(action) - old).exp()
            loss = (critic(seen) - target).square().mean()
            loss -= torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(genenvs.evaluate(env, lambda o, _: actor(flat(o)).argmax(1), output="torch").interval())
    return actor, critic


if __name__ == "__main__":
    train()
