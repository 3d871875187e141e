"""Cutting a film from raw footage (RLAVE, Hu et al., MM 2023)."""
