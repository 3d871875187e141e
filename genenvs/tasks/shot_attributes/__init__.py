"""Predicting what an editor shows next (RLAVE, Hu et al., MM 2023)."""
