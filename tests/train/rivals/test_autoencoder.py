"""The denoising autoencoder."""

from maescan.train.rivals import Size
from maescan.train.rivals.autoencoder import DenoisingAutoencoder


def test_air_has_no_difference(healthy, pairs):
    made = DenoisingAutoencoder(Size(width=8, steps=4, batch=8))
    made.fit(healthy)
    scores, maps = made.score(pairs[0])
    assert (scores > 0).all() and not maps[:, :2, :2].any()
