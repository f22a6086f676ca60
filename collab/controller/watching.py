"""Watching a unit while it is written: what a policy may say before the unit is complete."""

from collections.abc import Sequence

from collab.controller.glimpse import Glimpse
from collab.controller.guarded import PluginSessions
from collab.errors import PluginCallError
from collab.proposals import Token


class Watcher:
    """What `Until.stop_if` calls: ends a unit where the policy, or its glimpse, says so.

    Args:
        plugins: Whose policy watches.
        unit: The unit's index.
        glimpse: Asked first, if the policy wants to see the first tokens.
    """

    def __init__(self, plugins: PluginSessions, unit: int, glimpse: Glimpse | None) -> None:
        self._plugins = plugins
        self._unit = unit
        self._glimpse = glimpse
        self._error: PluginCallError | None = None

    def __call__(self, tokens: Sequence[Token]) -> bool:
        """Whether to stop after `tokens`; on the model's thread, so errors are kept for later."""
        if self._glimpse is not None and self._glimpse(tokens):
            return True
        try:
            return self._plugins.watch(tokens, self._unit)
        except PluginCallError as error:
            self._error = error
            return True

    def raise_error(self) -> None:
        """Raise what the policy raised while it watched."""
        if self._error is not None:
            raise self._error
