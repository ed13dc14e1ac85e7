"""``python -m codec_s2st.recipes.s2st OUTPUT_DIR --config-file F --config a.b=c``."""

from __future__ import annotations

import sys

from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.s2st.recipe import S2STRecipe

if __name__ == "__main__":
    sys.exit(recipe_main(S2STRecipe()))
