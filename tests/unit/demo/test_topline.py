from __future__ import annotations

import pytest

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")

from codec_s2st.demo.topline import main


def test_every_listener_has_its_line_and_chance_is_far_worse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--world", "small", "--num", "4", "--voice", "en-us+klatt3"]) == 0

    lines = capsys.readouterr().out.splitlines()[1:]

    assert [line[:14].strip() for line in lines] == ["constrained", "open", "open, order 2"]

    for line in lines:
        heard, _, _, chance, _, _ = line[14:].split()

        assert float(heard) < 0.4 < 0.7 < float(chance)


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--num", "1"], "number of sentences is 1"), (["--voice", "en-xx"], "no voice 'en-xx'")]
)
def test_bad_arguments_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--world", "small", "--num", "2", *arguments]) == 2

    assert message in capsys.readouterr().err
