"""The trainer of the verifier `mlp`. Imports torch only where it learns."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, JsonValue

from collab.capabilities import Need
from collab.errors import TrainingError
from collab.protocols import Case, VerifierDesk
from collab.roles import GENERATOR
from collab.texts import how_to_install
from collab.training.examples import Example
from collab.training.trainer import Trained, Trainer
from collab_policies.trained.reading import StateReading


class MlpTrainer(StateReading, Trainer):
    """Train the published network on hidden states of the generator.

    AdamW on the weighted binary cross-entropy. Training ends when the loss on problems set aside
    among those to train on, never on those held out, has not fallen for `patience` epochs; the
    weights of the best epoch are kept. With `patience` 0 it ends after `epochs`, and nothing is
    set aside. What is read is standardised, and that is written into the first layer.

    References:
        MentorCollab, arXiv:2602.05307, publishes the network and weights, and nothing of how
        they were trained; all of this is ours.
    """

    epochs: int = Field(default=100, ge=1, description="Most epochs.")
    patience: int = Field(
        default=10, ge=0, description="Epochs without improvement before it stops; 0 for never."
    )
    set_aside: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the problems that decides when to stop."
    )
    batch_size: int = Field(default=64, ge=2, description="Branches in a batch.")
    learning_rate: float = Field(default=1e-3, gt=0, description="Of AdamW.")
    weight_decay: float = Field(default=0.01, ge=0, description="Of AdamW.")
    is_balanced: bool = Field(
        default=False,
        description="Weigh both classes equally, however rare one is; scores are then no "
        "probabilities.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device on which it is trained."
    )

    @property
    def needs(self) -> Sequence[Need]:
        """Hidden states of the generator."""
        return (Need(GENERATOR, "hidden_states"),)

    @property
    def reading(self) -> dict[str, JsonValue]:
        """Layer, position and wording."""
        return self.model_dump(mode="json", include=set(StateReading.model_fields))

    async def read(self, case: Case, desk: VerifierDesk) -> Sequence[float]:
        """Return the generator's hidden state at a branch."""
        return await self.read_state(case, desk)

    def fit(self, examples: Sequence[Example], *, seed: int) -> Trained:
        """Train the network."""
        try:
            # Policies can be installed without torch, and everything else here works without.
            from collab_policies.trained.training import train  # noqa: PLC0415
        except ImportError as error:
            raise TrainingError(
                f"training needs torch and safetensors ({error}); {how_to_install('local')}"
            ) from error
        return train(examples, self, seed=seed)
