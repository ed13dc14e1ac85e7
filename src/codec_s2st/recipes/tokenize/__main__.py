from __future__ import annotations

import sys

from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.tokenize.recipe import TokenizeRecipe

if __name__ == "__main__":
    sys.exit(recipe_main(TokenizeRecipe()))
