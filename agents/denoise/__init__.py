"""Agents whose policy is the denoiser of a text-to-image model.

They learn in `genenvs/DenoiseLatent-v0`: its generator's network is copied, the copy is trained.
`policy.py` has the denoiser as a Gaussian policy, `rollout.py` plays it, `losses.py` holds every
formula, `trainer.py` what the agents share; each agent is one more file of a few dozen lines.
"""
