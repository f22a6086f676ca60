"""The typed error tree: everything this library raises on purpose.

`ConfigError` is raised before any model is called: the user asked for something that cannot
be. `ProblemError` belongs to one problem: it is recorded with the partial trace and the run
goes on. Cancellation is never wrapped.
"""


class CollabError(Exception):
    """Base of every error raised on purpose by this library."""


class ConfigError(CollabError):
    """What was asked for cannot be; nothing was started and nothing was lost."""


class PluginError(ConfigError):
    """A named plug-in cannot be used."""


class UnknownPluginError(PluginError):
    """No installed plug-in has that name, or the reference leads nowhere."""


class DuplicatePluginError(PluginError):
    """Two installed packages register the same name in one group."""


class BrokenPluginError(PluginError):
    """The plug-in is registered, but importing it failed."""


class PluginShapeError(PluginError):
    """The object found is not a plug-in of that group, or its options do not fit it."""


class CapabilityError(ConfigError):
    """Plug-ins need what the models cannot do; lists everything that is missing."""


class ModelLoadError(ConfigError):
    """A model cannot be loaded or reached."""


class RunDirectoryError(ConfigError):
    """A run directory cannot be used: other configuration, in use, damaged or unwritable."""


class ProblemFileError(ConfigError):
    """A problems file, or one line of it, cannot be read."""


class TrainingError(ConfigError):
    """Nothing can be trained on what was collected; it is kept."""


class OverloadedError(CollabError):
    """A pair has as many requests in work and waiting as it takes; try again later."""


class ProblemError(CollabError):
    """One problem failed; its neighbours are not harmed."""


class EmptyPromptError(ProblemError):
    """The problem has no text."""


class InvalidPromptError(ProblemError):
    """The problem's text cannot be shown to a model."""


class ContextOverflowError(ProblemError):
    """The prompt does not fit the context of a model."""


class NoReferenceError(ProblemError):
    """The problem has no reference answer, and a plug-in compares with it."""


class PluginCallError(ProblemError):
    """A policy or verifier raised, or returned something that is not in its contract."""


class ModelCallError(ProblemError):
    """A call to a model failed and was not repaired by retrying."""
