"""Captioned scenes of coloured shapes: their grammar, a renderer and a parser that reads them back.

What GenEval (Ghosh et al., 2023) asks of a text-to-image model, at a size where the answer is
exact: which things, how many, of which colour, where.
"""
