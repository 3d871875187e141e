"""Scripts that made what `genenvs.motion` ships."""
