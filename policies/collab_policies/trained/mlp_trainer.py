"""The trainer of the verifier `mlp`. Imports torch only where it learns."""

from collections.abc import Sequence

from pydantic import JsonValue

from collab.capabilities import Need
from collab.errors import TrainingError
from collab.protocols import Case, VerifierDesk
from collab.roles import GENERATOR
from collab.texts import how_to_install
from collab.training.examples import Example
from collab.training.trainer import Trained, Trainer
from collab_policies.trained.reading import StateReading
from collab_policies.trained.training_options import TrainingOptions


class MlpTrainer(TrainingOptions, StateReading, Trainer):
    """Train the published network on hidden states of the generator.

    AdamW on the weighted binary cross-entropy. Training ends when the loss on problems set aside
    among those to train on, never on those held out, has not fallen for `patience` epochs; the
    weights of the best epoch are kept. With `patience` 0 it ends after `epochs`, and nothing is
    set aside. What is read is standardised, and that is written into the first layer.

    References:
        MentorCollab, arXiv:2602.05307, publishes the network and weights, and nothing of how
        they were trained; all of this is ours.
    """

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
