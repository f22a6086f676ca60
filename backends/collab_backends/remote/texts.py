"""A remote model's live text: what is sent to the server to have it written on."""

from collections.abc import Sequence
from typing import Protocol

from collab.proposals import Token
from collab.views import View
from collab_backends.remote.requests import CONTINUE_LAST, Json
from collab_backends.tokenizing.live_ids import LiveIds, Place

QUOTED = (
    "{prompt}\n\n---\nAn answer to the above was begun. Write on from exactly where it stops, in "
    "the same style, and nothing else: no repetition of what is there, no quotes, no remarks.\n"
    "The answer so far:\n{answer}"
)


class LiveText(Protocol):
    """The prompt and what was written behind it, up to the head."""

    @property
    def answer(self) -> str:
        """What was written after the prompt."""
        ...

    @property
    def begun(self) -> str:
        """What the prompt begins the answer with, where it is sent together with the answer."""
        ...

    @property
    def place(self) -> Place:
        """Where the head is."""
        ...

    def request(self, extra: str = "", tail: Sequence[Token] = ()) -> Json:
        """Return the part of a request that says what to continue: the text, `tail` and `extra`."""
        ...

    def commit(self, tokens: Sequence[Token]) -> None:
        """Move the head over tokens that the model wrote."""
        ...

    def append(self, text: str) -> int:
        """Put foreign text in; return by how many tokens the text grew."""
        ...

    def go_back(self, place: Place) -> None:
        """Move the head back to an earlier place of this text."""
        ...

    def copy(self) -> "LiveText":
        """Return a copy."""
        ...


class IdText:
    """A text of token ids, sent as ids: exact, and never rebuilt from text.

    Args:
        live: The rendered prompt.

    Attributes:
        live: All ids up to the head.
    """

    def __init__(self, live: LiveIds) -> None:
        self.live = live
        self._prompt_length = len(live.ids)

    @property
    def answer(self) -> str:
        """What was written after the prompt."""
        return self.live.codec.decode(self.live.ids[self._prompt_length :])

    @property
    def begun(self) -> str:
        """Nothing: it is part of the rendered prompt."""
        return ""

    @property
    def place(self) -> Place:
        """Where the head is."""
        return self.live.place

    def request(self, extra: str = "", tail: Sequence[Token] = ()) -> Json:
        """Return the ids to continue."""
        ids = [*self.live.ids, *(token.id for token in tail)]
        if extra:
            splice = self.live.codec.splice(ids, extra)
            ids = [*ids[: splice.kept], *splice.added]
        return {"prompt": ids}

    def commit(self, tokens: Sequence[Token]) -> None:
        """Move the head over tokens that the model wrote."""
        self.live.ids += [token.id for token in tokens]

    def append(self, text: str) -> int:
        """Splice foreign text in."""
        return self.live.append(self.live.splice(text))

    def go_back(self, place: Place) -> None:
        """Move the head back to an earlier place of this text."""
        self.live.go_back(place)

    def copy(self) -> "IdText":
        """Return a copy."""
        twin = IdText(self.live.copy())
        twin._prompt_length = self._prompt_length
        return twin


class PlainText:
    """A text kept as text, sent behind its rendered prompt or as the messages of a chat.

    Args:
        view: The prompt and how it is shown.
        mode: `text`, `chat-continue`, `prefill` or `quoted`.
        rendered: For `text`: the rendered prompt.

    Attributes:
        answer: What was written after the prompt.
        begun: What the prompt begins the answer with, where it is sent together with the answer.

    Raises:
        InvalidPromptError: It has no message, or its last one is empty.
    """

    def __init__(self, view: View, mode: str, rendered: str = "") -> None:
        self.answer = ""
        self.begun = "" if mode == "text" else view.begun
        self._messages = () if mode == "text" else view.messages
        self._view = view
        self._mode = mode
        self._rendered = rendered

    @property
    def place(self) -> Place:
        """Where the head is."""
        return Place(len(self.answer))

    def request(self, extra: str = "", tail: Sequence[Token] = ()) -> Json:
        """Return the text to continue, in the shape of its mode."""
        written = self.begun + self.answer + "".join(token.text for token in tail) + extra
        if self._mode == "text":
            return {"prompt": self._rendered + written}
        flags = Json()
        messages: list[Json] = [one.model_dump() for one in self._messages]
        if self._mode == "quoted" and written:
            is_asked = bool(messages) and messages[-1]["role"] == "user"
            asked = messages.pop()["content"] if is_asked else ""
            messages.append(
                {"role": "user", "content": QUOTED.format(prompt=asked, answer=written)}
            )
        elif written:
            messages.append({"role": "assistant", "content": written})
            if self._mode == "chat-continue":
                flags = dict(CONTINUE_LAST)
        if (thinking := self._view.options.is_thinking_enabled) is not None:
            flags["chat_template_kwargs"] = {"enable_thinking": thinking}
        return {"messages": messages, **flags}

    def commit(self, tokens: Sequence[Token]) -> None:
        """Move the head over tokens that the model wrote."""
        self.answer += "".join(token.text for token in tokens)

    def append(self, text: str) -> int:
        """Put foreign text in; its tokens are estimated as its words."""
        self.answer += text
        return len(text.split())

    def go_back(self, place: Place) -> None:
        """Move the head back to an earlier place of this text."""
        self.answer = self.answer[: place.length]

    def copy(self) -> "PlainText":
        """Return a copy."""
        twin = PlainText(self._view, self._mode, self._rendered)
        twin.answer = self.answer
        return twin


def cleaned(written: str, before: str) -> str:
    """Return a quoted continuation without what models put around it.

    Fences and quotes are stripped, a repetition of the end of `before` (two words at least) is
    removed, and a space is put in where words or sentences would run into each other.
    """
    text = _unfenced(written)
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1]
    if before.endswith("\n"):
        text = text.lstrip("\n")
    for size in range(min(len(before), len(text)), 7, -1):
        shared = text[:size]
        if before.endswith(shared) and len(shared.split()) > 1:
            text = text[size:]
            break
    return f" {text}" if _runs_together(before[-1:], text[:1]) else text


def _unfenced(text: str) -> str:
    """Return the text within a code fence, of which the end may not have been written."""
    lines = text.strip("\n").split("\n")
    if len(lines) < 2 or not lines[0].startswith("```"):
        return text
    return "\n".join(lines[1:-1] if lines[-1].strip() == "```" else lines[1:])


def _runs_together(last: str, first: str) -> bool:
    if not first.isalnum():
        return False
    # A digit behind a full stop goes on with a number.
    return last.isalnum() or (last in _ENDS_CLAUSE and last != "" and not first.isdigit())


_ENDS_CLAUSE = ".,;:!?"
