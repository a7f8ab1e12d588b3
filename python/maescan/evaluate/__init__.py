"""Evaluation: how well slices are told apart, always beside what needs no model. Imports no torch."""

from maescan.evaluate.run import evaluate

__all__ = ["evaluate"]
