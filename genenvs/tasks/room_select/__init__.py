"""Furnishing a room in the right order (RLSS, Ostonov et al., WACV 2022)."""
