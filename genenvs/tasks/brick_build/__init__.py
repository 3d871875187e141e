"""Building a shape from bricks, layer by layer (Akizuki et al., 2020; BrickGPT)."""
