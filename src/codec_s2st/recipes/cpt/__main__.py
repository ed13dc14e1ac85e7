"""``python -m codec_s2st.recipes.cpt OUTPUT_DIR --config-file F --config a.b=c``."""

from __future__ import annotations

import sys

from codec_s2st.recipes.common.entry import stoppable_main

if __name__ == "__main__":
    sys.exit(stoppable_main("cpt"))
