"""Denoising as a policy: the agent is the denoiser, drives its noise, or steers its guidance."""
