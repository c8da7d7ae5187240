"""Folds and plans, piece by piece."""
