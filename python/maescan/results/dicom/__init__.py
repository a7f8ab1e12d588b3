"""What of a scored scan goes back to an archive (PACS): DICOM objects in the scan's own study, the same bytes for the
same result. For DICOM sources only."""

from __future__ import annotations

KINDS = ("sr", "sc", "seg", "ko", "pm")
"""Report (SR), pictures of slices (SC), segmentation (SEG), key images (KO), parametric map."""
HIGHEST = 3
"""How many of the highest-scoring slices are shown and referred to."""
OBJECTS = {kind: (kind,) if kind != "sc" else tuple(f"sc{n}" for n in range(1, HIGHEST + 1)) for kind in KINDS}
"""The files of each kind."""
