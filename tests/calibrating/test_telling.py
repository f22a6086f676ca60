"""How well signals tell, also among steps of one index."""

from collab.calibrating.calibrator import Signal
from collab.calibrating.steps import SignalledStep, SignalledText
from collab.calibrating.telling import telling


def text(problem: str, *labels: bool | None) -> SignalledText:
    steps = tuple(SignalledStep("x", (), (), is_bad=label) for label in labels)
    return SignalledText(problem, None, steps)


def test_a_signal_that_only_grows_tells_nothing_within_an_index() -> None:
    texts = [text("a", False, True), text("b", False, True), text("c", True, False)]
    index = {"index": [0.0, 1.0]}

    found = telling(texts, [index] * 3)["index"]

    assert found.auroc == 6 / 9
    assert found.within_index == 0.5
    assert found.steps == 6


def test_a_perfect_signal_is_one_also_within_an_index() -> None:
    texts = [text("a", False, True), text("b", True, False), text("c", None, True)]
    signals: list[dict[str, Signal]] = [
        {"s": [0.0, 1.0]},
        {"s": [1.0, 0.0]},
        {"s": [None, None]},
    ]

    found = telling(texts, signals)["s"]

    assert (found.auroc, found.within_index, found.steps) == (1.0, 1.0, 4)
    assert found.interval == (1.0, 1.0)


def test_labels_of_one_kind_tell_nothing() -> None:
    assert telling([text("a", True, True)], [{"s": [0.0, 1.0]}]) == {}
