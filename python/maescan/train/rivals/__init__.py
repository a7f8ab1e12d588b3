"""Other people's detectors behind one face: `fit` on healthy slices, `score` slices. Written anew from the papers, as
small as they can be; each says where it stands apart from its paper."""

from maescan.train.rivals.common import Rival, Size
from maescan.train.rivals.table import RIVALS, installed, rival

__all__ = ["RIVALS", "Rival", "Size", "installed", "rival"]
