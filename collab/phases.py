"""Phases: a text that thinks first and answers then."""

from pydantic import BaseModel, ConfigDict, Field

from collab.roles import MENTOR


class Phases(BaseModel):
    r"""Where thinking ends, and who writes the answer after it.

    Thinking ends with the closing tag, with too many equal units in a row, or when only the
    answer's tokens are left. Then the tag is put in, and one participant writes the answer in a
    single call; neither policy nor verifiers are asked about it. A model that ends its text while
    it thinks ends the problem.

    References:
        GlimpRouter, arXiv:2601.05110: the answer follows `\n</think>\n\n`, the mentor writes it, in
        at most 2048 tokens beside the 8192 of thinking.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    thinking_end: str = Field(
        default="</think>", min_length=1, description="The closing tag, as the generator writes it."
    )
    answer_by: str = Field(default=MENTOR, description="The participant that writes the answer.")
    answer_tokens: int = Field(
        default=2048,
        ge=1,
        description="Most tokens of the answer; they are reserved while thinking.",
    )

    def closing(self, text: str) -> str:
        """Return what closes the thinking after `text`."""
        newline = "" if text.endswith("\n") else "\n"
        return f"{newline}{self.thinking_end}\n\n"
