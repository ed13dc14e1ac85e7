"""``python -m codec_s2st.recipes.cpt OUTPUT_DIR --config-file F --config a.b=c``."""

from __future__ import annotations

import sys

from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.cpt.recipe import CptRecipe

if __name__ == "__main__":
    sys.exit(recipe_main(CptRecipe()))
