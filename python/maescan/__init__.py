"""maescan: masked-autoencoder anomaly detection for medical scans."""

__version__ = "0.1.0"
