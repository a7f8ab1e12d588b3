"""Training of the masked autoencoder and of the classifier. Importing it loads torch."""

import os

from maescan.machine import torch_settings

# Before torch is loaded: on a shared CPU, threads that spin while they wait cost a factor of five.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.update(torch_settings())

from maescan.train.run import train

__all__ = ["train"]
