"""``python -m codec_s2st`` is ``codec-s2st``."""

from __future__ import annotations

import sys

from codec_s2st.cli import main

if __name__ == "__main__":
    sys.exit(main())
