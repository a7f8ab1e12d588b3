"""The paper's two networks and the judge, on timm blocks. Importing them loads torch."""

import os

from maescan.machine import torch_settings

os.environ.update(torch_settings())

from maescan.models.classifier import Classifier
from maescan.models.judge import Judge
from maescan.models.mae import MaskedAutoencoder

__all__ = ["Classifier", "Judge", "MaskedAutoencoder"]
