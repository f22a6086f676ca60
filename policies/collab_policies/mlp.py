"""The verifier `mlp`: a network that was trained on branches chooses by the generator's states."""

import math
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import anyio.to_thread
from pydantic import Field, field_validator, model_validator

from collab.capabilities import Need
from collab.errors import ContextOverflowError, ModelCallError
from collab.problems import Problem
from collab.protocols import Case, Verifier, VerifierDesk, VerifierSession
from collab.roles import GENERATOR
from collab.texts import how_to_install
from collab.training.trainer import Trainer
from collab.verdicts import Abstain, Verdict
from collab_policies.trained.mlp_trainer import MlpTrainer
from collab_policies.trained.reading import StateReading

if TYPE_CHECKING:
    from collab_policies.trained.network import BranchNetwork
    from collab_policies.trained.weights import LoadedWeights

NAME = "mlp"
DEFAULT_THRESHOLD = 0.5


class Mlp(Verifier):
    """Let the generator's segment stand where a trained network scores it above the threshold.

    The network reads a hidden state of the generator after both segments, on a fork of its cached
    text (`collab_policies.trained.reading.StateReading` says where), so the generator has to hand
    them over: `local` does. What `collab train verifier` wrote runs only on the generator that it
    was trained on, told by the fingerprint of its weights. Weights in the published layout have no
    card: of them only the width is compared, so it is up to the user that they are this
    generator's, and `question` has to be what they were trained with. Without room for the question
    in the generator's context, it abstains.

    References:
        MentorCollab (MLP), arXiv:2602.05307: above 0.5 the generator's segment is taken,
        otherwise the mentor's. The published code turns to the self-judge on any error; here an
        error is one.
    """

    trainer: ClassVar[type[Trainer]] = MlpTrainer

    path: Path = Field(description="A folder of `collab train verifier`, or a file of weights.")
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Threshold instead of the card's, or of 0.5 without a card.",
    )
    question: str | None = Field(
        default=None, description="For weights without a card: with {a}, the generator's, and {b}."
    )

    @field_validator("path")
    @classmethod
    def _holds_a_network(cls, path: Path) -> Path:
        card = _loaded(path).card
        if card is not None and card.verifier != NAME:
            raise ValueError(f"it holds a verifier {card.verifier!r}, not {NAME!r}")
        return path

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.question is not None and _loaded(self.path).card is not None:
            raise ValueError("its card says the question; leave `question` out")
        # Made here, so that what a card or the question says wrongly is said before a run.
        width, states = _loaded(self.path).network.width, self.reading.states
        if width % states:
            raise ValueError(f"{width} numbers cannot be {states} hidden states")
        return self

    @property
    def reading(self) -> StateReading:
        """What is read at a branch: as the card says, or the published reading."""
        card = _loaded(self.path).card
        if card is not None:
            return MlpTrainer.model_validate(card.trainer)
        return StateReading() if self.question is None else StateReading(question=self.question)

    @property
    def needs(self) -> Sequence[Need]:
        """Hidden states of the right width, of the generator that it was trained on."""
        loaded = _loaded(self.path)
        fingerprint = loaded.card.generator.fingerprint if loaded.card else ""
        width = loaded.network.width // self.reading.states
        return (Need(GENERATOR, "hidden_states", width, fingerprint=fingerprint),)

    def start(self, problem: Problem, rng: random.Random) -> VerifierSession:
        """Return a session; it has no memory."""
        loaded, threshold = _loaded(self.path), self.threshold
        if threshold is None:
            threshold = loaded.card.threshold if loaded.card else DEFAULT_THRESHOLD
        return _MlpSession(loaded.network, self.reading, threshold)


class _MlpSession(VerifierSession):
    def __init__(self, network: "BranchNetwork", reading: StateReading, threshold: float) -> None:
        self._network = network
        self._reading = reading
        self._threshold = threshold

    async def verify(self, case: Case, desk: VerifierDesk) -> Verdict | Abstain:
        if not case.mentor:
            return Abstain("no proposal to compare")
        try:
            state = await self._reading.read_state(case, desk)
        except ContextOverflowError:
            return Abstain("no room in the context for the question")
        # On a thread: for a large generator the network has tens of millions of weights.
        scored = await anyio.to_thread.run_sync(partial(self._network.scores, [state]))
        if not math.isfinite(scored[0]):
            raise ModelCallError(
                "the network of 'mlp' gives no number for this branch; its weights and this "
                "generator do not fit each other"
            )
        stands = GENERATOR if scored[0] > self._threshold else case.mentor
        return Verdict(stands, score=scored[0], why="mlp")


def _loaded(path: Path) -> "LoadedWeights":
    """Return the network at `path`, read once.

    Raises:
        ValueError: There is none, or torch is missing.
    """
    try:
        # Policies can be installed without torch; naming this verifier is what needs it.
        from collab_policies.trained.weights import load_weights  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(
            f"it needs torch and safetensors ({error}); {how_to_install('local')}"
        ) from error
    return load_weights(path)
