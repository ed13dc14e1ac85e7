"""``python -m codec_s2st.recipes.translate OUTPUT_DIR --config input=PATH``."""

from __future__ import annotations

import sys

from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.translate.recipe import TranslateRecipe

if __name__ == "__main__":
    sys.exit(recipe_main(TranslateRecipe()))
