"""Prints the resolved configurations of many recipes, for the price of importing fairseq2 once.

``python -m codec_s2st.recipes.common.resolve`` reads a JSON list of ``[recipe, [argument, ...]]``, and writes a list of
configurations as YAML: of all, or of those before the one that was refused, whose error is the last line of stderr.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO

from codec_s2st.recipes.common.command import make_recipe
from codec_s2st.recipes.common.entry import recipe_main


def main() -> int:
    """Returns the exit code of the recipe that refuses, or 0."""
    configs: list[str] = []

    code = 0

    for name, arguments in json.load(sys.stdin):
        with redirect_stdout(StringIO()) as text:
            code = recipe_main(make_recipe(name), [*arguments, "--dump-config"])

        if code != 0:
            break

        configs.append(text.getvalue())

    json.dump(configs, sys.stdout)

    return code


if __name__ == "__main__":
    sys.exit(main())
