from __future__ import annotations

import os
import signal

import pytest

from codec_s2st.recipes.common.stopping import STOP_SIGNALS, StopRequest, current_request, stop_signals


def test_signal_is_a_request_in_the_block_alone() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]

    for number in STOP_SIGNALS:
        with stop_signals() as request:
            assert not request.is_made

            os.kill(os.getpid(), number)

            assert request.is_made and request.reason == number.name

    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_second_request_changes_nothing() -> None:
    request = StopRequest()

    request.make("one")
    request.make("two")

    assert request.reason == "one"


def test_inner_block_hears_for_the_outer_one() -> None:
    ignored = []

    with stop_signals() as outer:
        # As a framework does that wants a signal for itself.
        signal.signal(signal.SIGUSR1, lambda *args: ignored.append(args))

        with stop_signals() as inner:
            assert inner is outer is current_request()

            os.kill(os.getpid(), signal.SIGUSR1)

        assert outer.is_made and not ignored

    assert not current_request().is_made


def test_request_that_was_made_before_the_block_counts() -> None:
    request = current_request()

    request.make("request")

    with stop_signals(request) as inside:
        assert inside is request and inside.reason == "request"


def test_signals_are_those_again_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(ValueError), stop_signals():
        raise ValueError

    assert signal.getsignal(signal.SIGTERM) is before
