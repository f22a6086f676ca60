import structlog
from structlog.testing import capture_logs

from collab.controller import Controller
from collab.recipes import Recipe
from collab.telemetry.events import log_event
from collab.testing import FakeBackend, FakeModel
from collab_policies.always import Always


def test_nothing_is_printed_until_the_application_configures_logging(
    capsys: object,
) -> None:
    structlog.reset_defaults()

    log_event("something.happened")

    assert capsys.readouterr().out == ""  # type: ignore[attr-defined]  # pytest's fixture


async def test_events_are_named_in_the_past_tense_with_fields() -> None:
    structlog.configure()
    try:
        backend = FakeBackend(model=FakeModel("one two"))
        with capture_logs() as logs:
            async with Controller(
                generator=backend, mentor=backend, recipe=Recipe(policy=Always())
            ) as controller:
                await controller.solve("q")
    finally:
        structlog.reset_defaults()

    names = [entry["event"] for entry in logs]
    assert names == ["problem.started", "consultation.finished", "verdict.given", "problem.ended"]
    assert logs[-1]["reason"] == "eos"
