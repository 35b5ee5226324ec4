"""Ablation by swapping: one recipe over named choices of plugins and settings, ending in one table and one plot."""
