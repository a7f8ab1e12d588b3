"""Training of the masked autoencoder and of the classifier. Importing it loads torch."""

from maescan.train.run import train

__all__ = ["train"]
