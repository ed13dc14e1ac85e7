"""How much a model knows of text: before, during and after it learns speech."""
