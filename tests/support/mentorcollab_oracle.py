"""MentorCollab as it is published, on text alone: slow, without any cache, easy to check.

Written from the description of arXiv:2602.05307. Every question to a model encodes the whole text
anew and runs the model over all of it. What is decided otherwise than in the published code is what
the recipe's docstring lists.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from collab import Problem
from collab.protocols import PolicySession
from collab_policies.random_positions import RandomPositions

SEGMENT_TOKENS, WORD_TOKENS, EQUAL_PIECES = 16, 12, 3
TIE = 1e-4


class GivenDraws(RandomPositions):
    """Draws from a stream that the oracle can have too."""

    def start(self, problem: Problem, rng: random.Random) -> PolicySession:
        return super().start(problem, random.Random(problem.id))


@dataclass
class TextModel:
    """A model that is only ever shown text.

    Attributes:
        forwards: Passes over a whole text.
        fed_tokens: Tokens that these passes read.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    forwards: int = 0
    fed_tokens: int = 0
    _known: dict[str, torch.Tensor] = field(default_factory=dict)

    def next_logits(self, text: str) -> torch.Tensor:
        # The same text is not run twice; nothing else is kept.
        if text not in self._known:
            ids = self.tokenizer(text, return_tensors="pt").input_ids
            self.forwards += 1
            self.fed_tokens += ids.shape[1]
            with torch.inference_mode():
                self._known[text] = self.model(ids).logits[0, -1]
        return self._known[text]

    def next_token(self, text: str) -> str:
        """Return the greedy token behind `text`; nothing where the text ends."""
        token = int(self.next_logits(text).argmax())
        return "" if token == self.tokenizer.eos_token_id else str(self.tokenizer.decode([token]))

    def next_tokens(self, text: str, most: int) -> list[str]:
        said: list[str] = []
        while len(said) < most and (token := self.next_token(text + "".join(said))):
            said.append(token)
        return said

    def next_word(self, text: str, most: int) -> list[str]:
        """Return tokens up to the next space or newline."""
        said: list[str] = []
        while len(said) < min(most, WORD_TOKENS) and (
            token := self.next_token(text + "".join(said))
        ):
            if _has_ended(said, token):
                break
            said.append(token)
        return said

    def likeliest(self, text: str) -> str:
        return str(self.tokenizer.decode([int(self.next_logits(text).argmax())]))

    def probability(self, text: str, label: str) -> float:
        (token,) = self.tokenizer(label).input_ids
        return float(self.next_logits(text).softmax(-1)[token])


def load_text_model(folder: Path) -> TextModel:
    """Return the checkpoint in `folder`, in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return TextModel(model.eval(), PreTrainedTokenizerFast.from_pretrained(folder))


def mentorcollab(
    prompt: str,
    generator: TextModel,
    mentor: TextModel,
    *,
    rng: random.Random,
    rate: float,
    cue: str,
    reading: str,
    max_tokens: int,
) -> str:
    """Return the answer to `prompt`."""
    answer, room, pieces = "", max_tokens, list[str]()
    while room > 0:
        text = prompt + answer
        word = generator.next_word(text, room)
        if not word:
            break
        # The text is over behind this word, if the generator says so and nobody else is asked.
        is_last = not generator.next_token(text + "".join(word))
        piece, is_over = word, is_last
        if rng.random() < rate:
            offered = mentor.next_tokens(text, min(SEGMENT_TOKENS, room))
            if not _agrees("".join(offered), _first_word(offered), "".join(word)):
                own = generator.next_tokens(text, min(SEGMENT_TOKENS, room))
                asked = text + cue.replace("{a}", "".join(own)).replace("{b}", "".join(offered))
                if _prefers_second(generator, asked, reading):
                    piece, writer = offered, mentor
                else:
                    piece, writer = own, generator
                is_cut = len(piece) < min(SEGMENT_TOKENS, room)
                is_over = is_cut or (is_last and writer is generator and len(piece) >= len(word))
        pieces = [*pieces, "".join(piece)][-EQUAL_PIECES:]
        if pieces == [pieces[0]] * EQUAL_PIECES:
            break
        answer += "".join(piece)
        room -= len(piece)
        if is_over:
            break
    return answer


def _has_ended(word: list[str], token: str) -> bool:
    inside = "".join(word).lstrip(" \n")
    return bool(word) and (token[0] in " \n" or " " in inside or "\n" in inside)


def _agrees(offered: str, first_word: str, word: str) -> bool:
    if first_word == word:
        return True
    behind = offered[len(word) :]
    return offered.startswith(word) and (word[-1] in " \n" or behind[:1] in (" ", "\n"))


def _first_word(tokens: list[str]) -> str:
    for number, token in enumerate(tokens):
        if _has_ended(tokens[:number], token):
            return "".join(tokens[:number])
        if number + 1 == WORD_TOKENS:
            return "".join(tokens[:WORD_TOKENS])
    return "".join(tokens)


def _prefers_second(judge: TextModel, asked: str, reading: str) -> bool:
    if reading == "likeliest":
        return judge.likeliest(asked).strip() == "B"
    a, b = (judge.probability(asked, label) for label in ("A", "B"))
    return b / (a + b) > 0.5 + TIE
