"""What is said of an API server that is away, while a run goes on."""

from __future__ import annotations

from pymr.errors import UnreachableError
from pymr.kubernetes.sight import SAY_AGAIN_S
from pymr.kubernetes.watch import AWAY_S, Absence

AWAY = UnreachableError("the cluster does not answer: refused")
SAID = [
    "the cluster does not answer: refused; the run goes on, and is seen again when the cluster is"
]


def test_f117_an_api_server_that_is_away_is_said_now_and_then_and_that_it_is_back() -> None:
    """Not at once, since a watch may be cut at any time."""
    absence, last = Absence(), AWAY_S + SAY_AGAIN_S

    assert absence.news(AWAY, 0.0) == absence.news(AWAY, AWAY_S - 0.1) == []
    assert absence.news(AWAY, AWAY_S) == SAID
    assert absence.news(AWAY, last - 0.1) == []
    assert absence.news(AWAY, last) == SAID
    assert absence.news(None, last + 1.0) == ["the cluster answers again"]
    assert absence.news(None, last + 2.0) == []


def test_f117_what_is_back_before_that_is_not_said() -> None:
    """Nor that it is back."""
    absence = Absence()

    assert absence.news(AWAY, 0.0) == absence.news(None, 1.0) == []
    assert absence.news(AWAY, AWAY_S) == []
