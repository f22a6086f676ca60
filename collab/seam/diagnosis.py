"""What a connected model can tell about itself to people: an optional part of the seam."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from collab.views import View


@dataclass(frozen=True, slots=True)
class TemplateCheck:
    """A prompt as its tokenizer renders it here, and as the model's server counted it.

    Attributes:
        tokens: Its ids; `None` where no tokenizer is here.
        survives_text: Whether decoding and encoding it again gives the same ids; `None` as above.
        leading_bos: How many beginning-of-text tokens it begins with; `None` where no tokenizer is
            here or it has no such token.
        counted: Tokens that the server counted; `None` where there is no server, or it did not
            say.
    """

    tokens: int | None = None
    survives_text: bool | None = None
    leading_bos: int | None = None
    counted: int | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a model says of itself; what is empty or `None` is unknown.

    Attributes:
        model: Its name where it is served.
        place: Where that is, such as a URL without secrets.
        served_by: The software that serves it.
        tokenizer: Fingerprint of its vocabulary: equal ones are equal vocabularies.
        template: How a prompt fares.
        notes: What was looked for and not seen.
        remarks: What is worth knowing of it.
        failure: Why a first call failed, so that a run's would too; empty if it did not.
    """

    model: str = ""
    place: str = ""
    served_by: str = ""
    tokenizer: str = ""
    template: TemplateCheck | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    failure: str = ""


@runtime_checkable
class Diagnosable(Protocol):
    """A connected model that can be diagnosed. Models need not be: then all of it is unknown."""

    async def diagnose(self, view: View) -> Diagnosis:
        """Return what is known; may make one short call after the view's prompt.

        Raises:
            CollabError: The prompt cannot be rendered, or the call failed.
        """
        ...

    def prompt_tokens(self, view: View) -> int | None:
        """Return the length of the view's prompt; `None` where no tokenizer is here."""
        ...
