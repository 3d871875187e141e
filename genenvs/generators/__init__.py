"""Frozen generative models that tasks step through, and the sampling formulas they share.

Nothing here is imported eagerly: `denoiser` loads a model, `transition` holds the update
formulas, `bank` the reference solutions of a generator's instances, `judge` the classifier that
reads what was generated, `weights/` what ships with the package, and `training/` what made it.
"""
