"""``python -m codec_s2st.recipes.evaluate OUTPUT_DIR --config manifest=PATH``."""

from __future__ import annotations

import sys

from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.evaluate.recipe import EvaluateRecipe

if __name__ == "__main__":
    sys.exit(recipe_main(EvaluateRecipe()))
