"""nibabel without pydicom, which it loads where it can, for one kind of header extension that nothing here reads:
half of its start. For the process that forks readers; imported for what it does."""

from __future__ import annotations

import sys

if not {"nibabel", "pydicom"} & set(sys.modules):
    sys.modules["pydicom"] = None  # type: ignore[assignment]
    try:
        import nibabel  # noqa: F401
    finally:
        del sys.modules["pydicom"]
