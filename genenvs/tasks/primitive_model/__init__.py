"""Modelling a shape by moving, resizing and deleting cuboids (Prim-Agent, Lin et al., 2020)."""
