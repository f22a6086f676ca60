"""How a rendered prompt fares: through a tokenizer and back, and at a server."""

from typing import TYPE_CHECKING

from collab.seam.diagnosis import TemplateCheck
from collab.views import View

if TYPE_CHECKING:
    from collab_backends.tokenizing.codec import TextCodec


def check_template(
    codec: "TextCodec | None", view: View, counted: int | None = None
) -> TemplateCheck:
    """Return the round trip of the view's prompt.

    Args:
        codec: The model's tokenizer, if there is one here.
        view: The prompt and how it is shown.
        counted: The tokens that a server counted for it, if it did.
    """
    if codec is None:
        return TemplateCheck(counted=counted)
    ids = codec.render(view)
    return TemplateCheck(
        tokens=len(ids),
        survives_text=codec.encode_rendered(codec.decode(ids)) == ids,
        leading_bos=codec.count_leading_bos(ids),
        counted=counted,
    )
