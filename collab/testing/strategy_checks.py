"""The conformance check of strategies: what every one has to keep to, with fake models."""

from collab.controller import Pair, Result
from collab.problems import Problem
from collab.recipes import Recipe
from collab.roles import GENERATOR, MENTOR
from collab.strategies import Strategy
from collab.testing.conformance import ConformanceError, check_value, ensure
from collab.testing.fakes import FakeBackend, FakeModel
from collab.units import StepUnit

_PROBLEM = Problem(id="check", prompt="What is 2 + 2?", answer="4")
_OWN = "Two and two.\n\nThat is five.\n\nSo it is five."
_OTHER = "Two and two.\n\nThat is four.\n\nSo it is four."


async def check_strategy(strategy: Strategy, *, max_answer_tokens: int = 64) -> None:
    """Check that `strategy` is a frozen value that ends, gives the same text twice and cleans up.

    It writes one problem's answer twice with fake models, a generator and the participants that it
    needs, and its ledger is compared with what these have counted.
    """
    check_value(strategy)
    recipe = Recipe(strategy=strategy, unit=StepUnit(), max_answer_tokens=max_answer_tokens)
    first, second = await _solved(recipe), await _solved(recipe)
    ensure(first.text == second.text, "two runs with the same seed write different texts")


async def _solved(recipe: Recipe) -> Result:
    assert recipe.strategy is not None, "it is the one that is checked"
    others = {need.role for need in recipe.strategy.needs} - {GENERATOR}
    models = {
        GENERATOR: FakeModel(_OWN),
        **{role: FakeModel(_OTHER) for role in sorted(others | {MENTOR})},
    }
    backends = {role: FakeBackend(model=model) for role, model in models.items()}
    async with Pair(generator=backends.pop(GENERATOR), mentor=backends) as pair:
        result = await pair.solve(_PROBLEM, recipe=recipe)
    if result.error is not None:
        raise ConformanceError(f"it failed: {result.error}") from result.error
    ensure(bool(result.text), "it wrote no text")
    for role, model in models.items():
        ensure(model.open_sessions == 0, f"it left {model.open_sessions} texts of the {role} open")
        decoded = result.usage[role].completion_tokens if role in result.usage else 0
        ensure(
            decoded == model.decoded,
            f"the ledger counts {decoded} tokens of the {role}, which decoded {model.decoded}",
        )
    return result
