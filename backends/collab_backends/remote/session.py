"""A session with a remote model; its text is kept here, the server keeps nothing that matters."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from collab.errors import ModelCallError
from collab.proposals import Distribution, Proposal, Sampling, Token, Until
from collab.seam import Meter, Session, SessionMark
from collab.seam.lineage import NO_FORK, Lineage
from collab.seam.scanning import ProposalBuilder
from collab.seam.tail import Tail
from collab.signals import Signals
from collab_backends.remote.asking import Asker, Terms
from collab_backends.remote.contents import THINKS_APART
from collab_backends.remote.endpoint import Endpoint
from collab_backends.remote.entries import NO_ID, measured, text_of
from collab_backends.remote.portions import portions, tokens_in
from collab_backends.remote.reading import tokens_of
from collab_backends.remote.requests import Json, beyond_protocol, logprobs_of
from collab_backends.remote.texts import IdText, LiveText
from collab_backends.remote.wire import Answer
from collab_backends.tokenizing.live_ids import Place, ensure_distinct

_WHOLE_AT_ONCE = 32
"""Up to so many tokens an answer is asked for as a whole; longer ones are streamed and left as soon
as no more is wanted."""

_READ_ON = 2
"""With no more tokens than that to come, a stream is read to its end, where its cost is counted."""

_MOST_OF_AN_END = 8
"""Tokens that may have no text: those of an end, or of a part of a character."""

_BEFORE_CHARACTERS = 200


class RemoteSession:
    """One live text of a remote model; see `collab.seam.Session`."""

    def __init__(
        self,
        terms: Terms,
        endpoints: Sequence[Endpoint],
        author: str,
        text: LiveText,
        *,
        seed: int,
        signals: Signals,
    ) -> None:
        self.meter = Meter()
        self._terms = terms
        self._endpoints = endpoints
        self._asker = Asker(terms, endpoints, self.meter)
        self._author = author
        self._text = text
        self._seed = seed
        self._signals = signals
        self._tail = Tail()
        self._lineage: Lineage[Place] = Lineage()

    @property
    def mark(self) -> SessionMark:
        """A pointer to the head."""
        return self._lineage.mark(self._text.place)

    async def generate(self, until: Until, sampling: Sampling) -> Proposal:
        """Continue from the head; what was written before is replayed first."""
        replayed = len(self._tail.tokens)
        builder = self._replay(until)
        if not builder.is_done:
            await self._write_on(builder, until, sampling)
        if not builder.is_done:
            builder.end("eos")
        return builder.build(self._author, replayed=replayed)

    async def judge(self, question: str, labels: Sequence[str]) -> Distribution:
        """Return the labels' probabilities right behind the text followed by `question`.

        A label that is not among the likeliest tokens that the server gives has probability 0. The
        likeliest token is the one that the server writes, unless it gives a likelier one.
        """
        if not self._terms.capabilities.can_judge:
            raise ModelCallError(f"{self._terms.label!r} gives no probabilities to judge by")
        ids = [self._label_id(question, label) for label in labels]
        if NO_ID not in ids:
            ensure_distinct(labels, ids, self._terms.label)
        most = self._terms.capabilities.top_logprobs
        body = self._body(self._text.request(question), 1, Sampling(), most)
        if self._terms.can_pick_logprobs and NO_ID not in ids:
            body |= {"logprobs": 1, "logprob_token_ids": ids, "return_tokens_as_token_ids": True}
        answer = await self._asker.answer(body)
        if not answer.entries:
            raise ModelCallError(f"{self._terms.label!r} gave no probabilities")
        top = answer.entries[0].candidates
        return Distribution(
            {
                label: sum(
                    math.exp(one.logprob)
                    for one in top
                    if (one.id == number if number != NO_ID else one.text.strip() == label)
                )
                for label, number in zip(labels, ids, strict=True)
            },
            text_of(answer.entries[0].likeliest, self._terms.codec),
        )

    async def score(self, text: str) -> tuple[Token, ...]:
        """Return the log-probabilities of `text` as a continuation, from an echo of the prompt."""
        if not self._terms.capabilities.can_score or not isinstance(self._text, IdText):
            raise ModelCallError(f"{self._terms.label!r} cannot score given text")
        live = self._text.live
        splice = live.splice(text)
        if not splice.added:
            return ()
        ids = [*live.ids[: splice.kept], *splice.added]
        top_k = self._signals.top_k
        most = max(min(top_k, self._terms.capabilities.score_top_logprobs), 1)
        body = self._body({"prompt": ids}, 1, Sampling(), most) | {"echo": True}
        if top_k and self._terms.can_pick_logprobs:
            body["return_tokens_as_token_ids"] = True
        answer = await self._asker.answer(body)
        scored = answer.entries[splice.kept : len(ids)]
        decoder = live.codec.decoder(live.ids[: splice.kept])
        return tuple(
            measured(entry, token_id, decoder.feed(token_id), Signals(top_k=top_k), live.codec)
            for entry, token_id in zip(scored, splice.added, strict=True)
        )

    def commit(self, tokens: int) -> None:
        """Move the head over tokens that were written."""
        self._text.commit(self._tail.commit(tokens))
        self._lineage.move()

    def append(self, text: str) -> int:
        """Put foreign text in at the head."""
        self._tail.drop()
        self._lineage.move()
        return self._text.append(text)

    def rollback(self, mark: SessionMark) -> None:
        """Move the head back to `mark`."""
        self._text.go_back(self._lineage.go_back(mark))
        self._tail.drop()

    def reseed(self, seed: int) -> None:
        """Ask with another seed from now on; a server that ignores seeds draws what it likes."""
        self._tail.drop()
        self._seed = seed

    @asynccontextmanager
    async def fork(self) -> AsyncIterator["RemoteSession"]:
        """Return a session with the same text."""
        twin = RemoteSession(
            self._terms,
            self._endpoints,
            self._author,
            self._text.copy(),
            seed=self._seed,
            signals=self._signals,
        )
        twin._tail, twin._lineage = self._tail.copy(), self._lineage.fork()
        try:
            yield twin
        finally:
            twin._lineage.close()

    def adopt(self, twin: Session) -> None:
        """Take over a fork's text and tail; the server has its prefix in its cache."""
        if not isinstance(twin, RemoteSession) or not twin._lineage.is_fork_of(self._lineage):
            raise ValueError(NO_FORK)
        self._lineage.adopt(twin._lineage)
        self._text, twin._text = twin._text, self._text
        self._tail, twin._tail = twin._tail, self._tail
        self._seed = twin._seed

    # --- writing ----------------------------------------------------------------------------

    def _replay(self, until: Until, more: Sequence[Token] = ()) -> ProposalBuilder:
        return self._tail.replay(until, self._text.answer[-_BEFORE_CHARACTERS:], more)

    async def _write_on(self, builder: ProposalBuilder, until: Until, sampling: Sampling) -> None:
        # In words, each request is another question, whose answer begins in another way.
        is_whole = self._terms.capabilities.prefix_mode == "quoted"
        expected = "" if is_whole else until.may_stop_behind
        first = tokens_in(expected, self._terms, self._text) + 1
        for most in portions(self._tail.tokens, expected, first, until.max_tokens):
            if await self._has_ended_within(most, builder, until, sampling):
                return

    async def _has_ended_within(
        self, most: int, builder: ProposalBuilder, until: Until, sampling: Sampling
    ) -> bool:
        """Write until the tail has `most` tokens; return whether no more is wanted or to come."""
        room = most - len(self._tail.tokens)
        answer = await self._written(room, until, sampling)
        tokens = self._tokens(answer)
        if not tokens:
            self._ensure_is_end(answer)
        written = len(tokens) if answer.paid.completion is None else answer.paid.completion
        self._tail.tokens += tokens
        self._tail.has_ended = answer.finish not in ("length", "")
        for token in tokens:
            if builder.feed(token):
                return True
        if answer.finish == "length" and not builder.is_done:
            if written < room:
                builder.end("context")  # the server's window is full
            elif most == until.max_tokens:
                builder.end("length")  # tokens are counted differently here
        return builder.is_done or self._tail.has_ended

    async def _written(self, room: int, until: Until, sampling: Sampling) -> Answer:
        """Return an answer of up to `room` tokens, of which no more is read than is wanted."""
        request = self._text.request(tail=self._tail.tokens)
        signals = self._signals
        # Two candidates at least: their difference is the margin.
        body = self._body(request, room, sampling, max(signals.entropy_top_k, signals.top_k, 2))
        if signals.top_k and self._terms.can_pick_logprobs:
            body["return_tokens_as_token_ids"] = True
        if self._is_streamed(room, until):

            def is_enough(so_far: Answer) -> bool:
                tokens = self._tokens(so_far)
                return room - len(tokens) > _READ_ON and self._replay(until, tokens).is_done

            answer = await self._asker.stream(body, is_enough)
        else:
            answer = await self._asker.answer(body)
        if answer.finish == "length" and not self._tokens(answer):
            # Nothing but a part of a character, which has four bytes at most.
            answer = await self._asker.answer(body | {"max_tokens": room + 3})
        return answer

    def _ensure_is_end(self, answer: Answer) -> None:
        """Check that an answer without text is one that ended, and not one that went elsewhere.

        Raises:
            ModelCallError: It was thought, which the server does not give as text.
        """
        written = answer.paid.completion or 0
        is_hidden = self._terms.is_chat and written > _MOST_OF_AN_END
        if answer.reasoning or is_hidden:
            what = f"{self._terms.label!r} wrote {written or 'some'} tokens and no text"
            raise ModelCallError(f"{what}: {THINKS_APART}")

    def _is_streamed(self, room: int, until: Until) -> bool:
        if not self._terms.can_stream:
            return False
        if room > _WHOLE_AT_ONCE:
            return True  # however long it takes, words are heard
        return until.stop_if is not None and not until.may_stop_behind and room > _READ_ON

    def _tokens(self, answer: Answer) -> list[Token]:
        text, tail = self._text, self._tail.tokens
        return tokens_of(answer, self._terms, text, tail, signals=self._signals)

    # --- asking -----------------------------------------------------------------------------

    def _body(self, request: Json, max_tokens: int, sampling: Sampling, logprobs: int) -> Json:
        terms = self._terms
        body: Json = {
            "model": terms.name,
            **request,
            "max_tokens": max_tokens,
            "temperature": 0.0 if sampling.is_greedy else sampling.temperature,
            "top_p": sampling.top_p,
            "seed": self._seed % 2**31,
        }
        if terms.is_lenient:
            body |= beyond_protocol(sampling.top_k, is_chat=terms.is_chat)
        if given := min(logprobs, terms.capabilities.top_logprobs):
            body |= logprobs_of(given, is_chat=terms.is_chat)
        return body | terms.extra

    def _label_id(self, question: str, label: str) -> int:
        """Return the id of a label's first token behind the question, or -1 without a tokenizer."""
        if self._terms.codec is None or not isinstance(self._text, IdText):
            return NO_ID
        ids = self._text.request(question)["prompt"]
        found = self._terms.codec.label_id(ids, label)
        return NO_ID if found is None else found
