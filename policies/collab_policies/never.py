"""The policy `never`: the generator alone."""

from collab.protocols import Alone


class Never(Alone):
    """Never ask a mentor."""
