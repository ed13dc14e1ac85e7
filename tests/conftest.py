"""What every test needs before fairseq2 is imported for the first time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Without it, an extension that cannot be registered is a warning and the run goes on without it.
os.environ["FAIRSEQ2_EXTENSION_TRACE"] = "1"
os.environ.setdefault("FAIRSEQ2_NO_PROGRESS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The tests neither read the user's own cards nor write into the user's caches.
_SCRATCH_DIR = tempfile.TemporaryDirectory(prefix="codec_s2st_tests_")

for _name in ("FAIRSEQ2_ASSET_DIR", "FAIRSEQ2_USER_ASSET_DIR", "FAIRSEQ2_CACHE_DIR", "CODEC_S2ST_CACHE"):
    _path = Path(_SCRATCH_DIR.name, _name.lower())
    _path.mkdir()
    os.environ[_name] = str(_path)

# No test touches the network.
os.environ["HF_HUB_OFFLINE"] = "1"
