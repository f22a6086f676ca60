"""The recipe `mentorcollab-free`: MentorCollab without a trained verifier."""

from pydantic import Field

from collab.options import LongestAnswer, RepeatLimit, StopStrings
from collab.proposals import Until
from collab.recipes import MethodRecipe, Recipe
from collab.units import WordUnit
from collab_policies.agreement import Agreement
from collab_policies.random_positions import RandomOptions, RandomPositions
from collab_policies.self_judge import Reading, ReadingOptions, SelfJudge


class MentorCollabFree(RandomOptions, ReadingOptions, MethodRecipe):
    """Random words are checked against the mentor; where they differ, the generator chooses.

    The generator writes word by word. At random words a mentor proposes a segment from the
    word's start; while it does, the generator looks ahead to the same length. If the mentor's
    first word equals the draft, the draft stays. Otherwise the generator is asked which of
    both segments to take.

    References:
        MentorCollab, arXiv:2602.05307; the defaults are the published ones. An uncached oracle of
        the published algorithm writes the same text for the same draws
        (`tests/policies/test_mentorcollab_golden.py`). Deviations, which the oracle shares:

        - the probability is a rate in [0, 1]; the published integer D asks at (D - 1) / 100;
        - every problem has a random stream of its own, so that its draws depend on no other;
        - one mentor request per consultation (its first word is the agreement test, its rest the
          proposal) instead of one per token: the text is the same. A server is asked for the rest
          in a second one, if the first word disagrees;
        - an end of text that the generator reached without being asked about stays an end, so that
          nothing comes back to life by chance; so does the end of a segment that is taken, the
          mentor's too, where the published code has the generator write on;
        - a word also ends after a token in which a blank follows other characters, see `WordUnit`,
          and a mentor agrees whose text begins with the draft, see `Agreement`;
        - near the longest answer both segments shrink to the room that is left, so the judge there
          compares shorter texts than it would be shown by the published code;
        - a model's own tokens are kept, where the published code encodes the whole text at every
          call: with a tokenizer that merges blanks, the same text may be other tokens then, and go
          on otherwise;
        - a failed call is an error, where the published code takes it for the end of a text;
        - the budget counts tokens of whoever wrote them and is kept exactly, where the published
          code counts turns and may overshoot by a segment;
        - stop strings are told apart by case and cut off, where the published code keeps them;
        - the cue has our own wording.

        Like the published code, the judge's one likeliest token is read, and anything but B leaves
        the generator's segment. The reading `share` compares the probabilities of both labels
        instead; it hears a judge that would write neither, and a server that does not say the
        likeliest token.
    """

    method = "mentorcollab-free"
    policy = RandomPositions
    verifiers = (Agreement, SelfJudge)

    segment_tokens: int = Field(default=16, ge=1, description="Length of both segments.")
    word_tokens: int = Field(default=12, ge=1, description="Longest word.")
    max_answer_tokens: LongestAnswer = 512
    repeat_limit: RepeatLimit = 3
    stop_strings: StopStrings = ("\n\nPremises:", "\n\nProblem:", "\n\nQuestion:")
    reading: Reading = "likeliest"

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return self.assembled(
            WordUnit(max_tokens=self.word_tokens),
            Until(max_tokens=self.segment_tokens),
            max_answer_tokens=self.max_answer_tokens,
        )
