"""``codec-s2st export-hf``: the textual LLM inside a published model, as a checkpoint of Hugging Face's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from codec_s2st.arguments import CommandParser, path_argument

_MAX_FILE_BYTES: Final = 2_000_000_000


def main(argv: Sequence[str]) -> int:
    """Runs ``codec-s2st export-hf`` and returns 0; every error is raised."""
    parser = CommandParser(
        prog="codec-s2st export-hf",
        description="Writes the text backbone of a published model as a checkpoint that transformers loads.",
    )

    parser.add_argument("model", metavar="PUBLISHED", help="a published folder, a model card, or a card file")
    parser.add_argument("out", metavar="OUT", type=path_argument, help="the folder to write; it must not exist")
    parser.add_argument("--no-tokenizer", action="store_true", help="leave the tokenizer out")

    args = parser.parse_args(list(argv))

    print(export_hf(args.model, args.out, with_tokenizer=not args.no_tokenizer))

    return 0


def export_hf(model: str, out: Path, *, with_tokenizer: bool = True) -> Path:
    """Writes ``config.json``, safetensors and the tokenizer's files. Of the tables, the text rows alone are written.

    Embedding and head are one table in the output if they were in the LLM that the model started from, and are still
    equal.

    :param model: A card of a codec_lm model, its file, or its folder.

    :returns: The folder.

    :raises UserInputError: there is no such model or tokenizer, or ``out`` exists.
    """
    import torch

    from codec_s2st.data.text import copy_tokenizer, load_text_tokenizer
    from codec_s2st.exchange.files import new_folder
    from codec_s2st.exchange.parts import check_tensors, state_shapes
    from codec_s2st.exchange.publish import text_rows
    from codec_s2st.model_cards import check_tokenizer, checkpoint_of, find_model_card, tokenizer_of
    from codec_s2st.models.codec_lm.backbones import names
    from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
    from codec_s2st.models.codec_lm.text_llm import CONFIG_FILE, find_text_llm, to_hugging_face
    from codec_s2st.tensor_files import read_headers, write_tensors
    from codec_s2st.tokens.compatibility import VocabularyFingerprint

    card = find_model_card(model)

    config = get_codec_lm_hub().get_model_config(card)

    path = checkpoint_of(card)

    where = f"the checkpoint {path} of card '{card.name}'"

    state = read_headers(path)

    check_tensors(state, state_shapes(config), where=where, hint="fetch the checkpoint and its card again, together")

    rows = text_rows(state, config, where=where)

    tensors = find_text_llm(rows, replace(config.decoder, tied_embeddings=False), where=where)

    tied = config.decoder.tied_embeddings and torch.equal(tensors[names.EMBED].read(), tensors[names.HEAD].read())

    tokenizer_path = None

    if with_tokenizer:
        tokenizer = tokenizer_of(card, config.vocabulary)

        if tokenizer is not None:
            loaded = load_text_tokenizer(tokenizer)

            fingerprint = VocabularyFingerprint.from_json(config.vocabulary, where=f"model '{card.name}'")

            check_tokenizer(loaded, fingerprint, where=f"model '{card.name}'")

            tokenizer_path = loaded.path

    hg_config, hg_tensors = to_hugging_face(tensors, config.decoder, tied=tied)

    with new_folder(out) as temporary:
        write_tensors(temporary, hg_tensors, max_file_bytes=_MAX_FILE_BYTES)

        temporary.joinpath(CONFIG_FILE).write_text(json.dumps(hg_config, indent=2) + "\n")

        if tokenizer_path is not None:
            copy_tokenizer(tokenizer_path, temporary)

    return out
