"""The paper's two networks on timm blocks. Importing them loads torch."""

from maescan.models.classifier import Classifier
from maescan.models.mae import MaskedAutoencoder

__all__ = ["Classifier", "MaskedAutoencoder"]
