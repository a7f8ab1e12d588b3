"""Tests of this folder import its modules; `kernels` would be tests/kernels else."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
