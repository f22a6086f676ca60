"""The conformance check of backends: what every session has to keep to."""

from functools import partial

from collab.proposals import Sampling, Until
from collab.roles import GENERATOR
from collab.seam import ConsultationBackend, ObservedSession, RewardedSession, Session
from collab.testing.conformance import ConformanceError, check_value, ensure, ensure_refused
from collab.views import View


async def check_backend(backend: ConsultationBackend, prompt: str = "What is 2 + 2?\n") -> None:
    """Check that the model of `backend` keeps to the contract of sessions, with real calls."""
    check_value(backend)
    async with backend.connect() as model:
        ensure(bool(model.name), "the model has no name")
        view = View(GENERATOR, prompt, backend.view)
        async with model.open(view, seed=0) as session:
            await _check_replay(session)
            _check_refusals(session)
            await _check_fork(session)
            await _check_adoption(session)
            if model.capabilities.can_judge:
                await _check_judge(session)
            if model.capabilities.can_score:
                await _check_score(session)
            if model.capabilities.can_reward:
                await _check_reward(session)
            if isinstance(session, ObservedSession) and model.capabilities.has_hidden_states:
                await _check_observe(session, session, model.capabilities.hidden_size)


async def _check_replay(session: Session) -> None:
    start = session.mark
    short = await session.generate(Until(2), Sampling())
    ensure(len(short.tokens) <= 2, f"asked for 2 tokens, got {len(short.tokens)}")
    spent = session.meter.completion_tokens
    again = await session.generate(Until(2), Sampling())
    ensure(again.text == short.text, "generate() from the same head gives another text")
    ensure(session.meter.completion_tokens == spent, "what was decoded is decoded again")
    longer = await session.generate(Until(6), Sampling())
    ensure(longer.text.startswith(short.text), "looking further ahead changes the text")
    session.commit(len(short.tokens))
    rest = await session.generate(Until(4), Sampling())
    ensure(short.text + rest.text == longer.text, "commit() changes the text after the head")
    session.append(" and")
    await session.generate(Until(2), Sampling())
    session.rollback(start)
    back = await session.generate(Until(6), Sampling())
    ensure(back.text == longer.text, "rollback() does not restore the text")


def _check_refusals(session: Session) -> None:
    start = session.mark
    session.append(" and")
    ahead = session.mark
    session.rollback(start)
    for what, mark in (("a foreign mark", _ForeignMark()), ("a mark ahead of the head", ahead)):
        ensure_refused(partial(session.rollback, mark), f"rollback() to {what}")
    for tokens in (-1, 1):
        ensure_refused(partial(session.commit, tokens), f"commit({tokens}) with none decoded")


async def _check_fork(session: Session) -> None:
    before = await session.generate(Until(4), Sampling())
    async with session.fork() as twin:
        mine = await twin.generate(Until(4), Sampling())
        ensure(mine.text == before.text, "a fork continues differently")
        twin.append(" something else")
        await twin.generate(Until(2), Sampling())
    after = await session.generate(Until(4), Sampling())
    ensure(after.text == before.text, "a fork changes the session it was taken from")


async def _check_adoption(session: Session) -> None:
    start = session.mark
    before = await session.generate(Until(4), Sampling())
    async with session.fork() as twin:
        twin.append(" something else")
        written = await twin.generate(Until(2), Sampling())
        session.adopt(twin)
        ensure_refused(partial(session.adopt, twin), "adopt() of a fork that was adopted")
    ensure_refused(partial(session.adopt, session), "adopt() of the session itself")
    spent = session.meter.completion_tokens
    adopted = await session.generate(Until(2), Sampling())
    ensure(adopted.text == written.text, "adopt() does not take over the fork's text")
    ensure(session.meter.completion_tokens == spent, "what a fork decoded is decoded again")
    session.rollback(start)
    back = await session.generate(Until(4), Sampling())
    ensure(back.text == before.text, "rollback() to a mark from before the fork is lost")


async def _check_judge(session: Session) -> None:
    before = await session.generate(Until(4), Sampling())
    answer = await session.judge("\nA or B? (", ("A", "B"))
    ensure(set(answer.labels) == {"A", "B"}, f"judged labels are {sorted(answer.labels)}")
    ensure(all(0 <= p <= 1 for p in answer.labels.values()), "a label's probability is not in 0..1")
    ensure(
        answer.likeliest is None or isinstance(answer.likeliest, str),
        "the likeliest token of a judgement is neither a text nor None",
    )
    after = await session.generate(Until(4), Sampling())
    ensure(after.text == before.text, "judge() changes the text")


async def _check_reward(session: Session) -> None:
    if not isinstance(session, RewardedSession):
        raise ConformanceError("the model claims that it gives rewards, and has no reward()")
    before = await session.generate(Until(4), Sampling())
    rewards = await session.reward([" Two and two.\n\n", " That is four."])
    ensure(len(rewards) == 2, f"2 steps were given {len(rewards)} rewards")
    after = await session.generate(Until(4), Sampling())
    ensure(after.text == before.text, "reward() changes the text")


async def _check_score(session: Session) -> None:
    scored = await session.score(" is four")
    ensure("".join(token.text for token in scored) == " is four", "score() is of another text")
    known = [token.logprob for token in scored]
    ensure(all(p is not None and p <= 0 for p in known), "a log-probability is above 0 or missing")


async def _check_observe(
    session: Session, observed: ObservedSession, hidden_size: int | None
) -> None:
    before = await session.generate(Until(4), Sampling())
    state = await observed.observe("\nA or B? (", -1)
    width = len(state)
    ensure(width == hidden_size, f"a hidden state has {width} numbers, hidden_size {hidden_size}")
    after = await session.generate(Until(4), Sampling())
    ensure(after.text == before.text, "observe() changes the text")


class _ForeignMark:
    """A mark that no session has made."""
