"""A glimpse: the policy is asked about a unit's first tokens while the unit is written."""

from collections.abc import Callable, Sequence

from collab.controller.guarded import PluginSessions
from collab.decisions import Consult
from collab.errors import PluginCallError
from collab.proposals import Token
from collab.protocols import Draft


class Glimpse:
    """What `Until.stop_if` calls: ends the generator's call if a mentor is to write instead.

    So a unit that the generator writes itself costs one call, its first tokens included.

    Args:
        plugins: Whose policy is asked, once.
        tokens: After how many tokens.
        draft_of: Makes the draft that it is asked about.
    """

    def __init__(
        self,
        plugins: PluginSessions,
        tokens: int,
        draft_of: Callable[[Sequence[Token]], Draft],
    ) -> None:
        self._plugins = plugins
        self._tokens = tokens
        self._draft_of = draft_of
        self._is_asked = False
        self._consult: Consult | None = None
        self._error: PluginCallError | None = None

    def __call__(self, tokens: Sequence[Token]) -> bool:
        """Whether to stop after `tokens`; on the model's thread, so errors are kept for later."""
        if not self._is_asked and len(tokens) >= self._tokens:
            try:
                self._ask(tokens)
            except PluginCallError as error:
                self._error = error
        return self._error is not None or self._consult is not None

    def begin(self) -> Consult | None:
        """Return that wish before the generator is called, if the policy wants no token at all."""
        return self.finish(()) if self._tokens == 0 else None

    def finish(self, tokens: Sequence[Token]) -> Consult | None:
        """Return the policy's wish to have a mentor write the unit, if it has one.

        Args:
            tokens: All that were written; if they were too few, the policy is asked now.

        Raises:
            PluginCallError: The policy failed when it was asked.
        """
        if self._error is not None:
            raise self._error
        if not self._is_asked and (tokens or self._tokens == 0):
            self._ask(tokens)
        return self._consult

    def _ask(self, tokens: Sequence[Token]) -> None:
        self._is_asked = True
        decision = self._plugins.decide_before(self._draft_of(tokens[: self._tokens]))
        self._consult = decision if isinstance(decision, Consult) else None
