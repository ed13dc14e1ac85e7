"""What a report says of figures beside the figures themselves."""

from __future__ import annotations

from codec_s2st.recipes.text_report.report import ModelScores, TextReport
from codec_s2st.recipes.text_report.scores import Perplexity


def make_report(*perplexities: float, size: int) -> TextReport:
    models = tuple(
        ModelScores(
            model=f"model {idx}",
            weights_hash=None,
            tags=False,
            tokenizer="t",
            tokenizer_hash="h",
            tokenizer_size=size,
            plain=Perplexity(perplexity, 1.0, 1, 1, 0),
        )
        for idx, perplexity in enumerate(perplexities)
    )

    return TextReport(texts={}, language=None, models=models)


def test_large_figures_are_powers_of_ten() -> None:
    rows = make_report(999_999.0, 4.0e16, 2.5, size=50).table()

    assert [row[2] for row in rows] == [
        "perplexity",
        "999999.000",
        "4.00e+16 (+4.00e+16)",
        "2.500 (-999996.500)",
    ]


def test_texts_that_the_base_has_never_learnt() -> None:
    message = "model 0 does worse on these texts than guessing, of perplexity 50: it has never learnt them"

    assert any(remark.startswith(message) for remark in make_report(50.1, 40.0, size=50).remarks())

    # What others have forgotten is what is looked for.
    assert not any("guessing" in remark for remark in make_report(50.0, 4.0e16, size=50).remarks())
