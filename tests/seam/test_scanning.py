from collections.abc import Sequence

import pytest

from collab.proposals import Proposal, Token, Until
from collab.seam.scanning import ProposalBuilder
from collab.units import WordUnit


def build(until: Until, *texts: str, before: str = "", ends: bool = False) -> Proposal:
    builder = ProposalBuilder(until, before)
    for number, text in enumerate(texts):
        if builder.feed(Token(number, text)):
            break
    if ends and not builder.is_done:
        builder.end("eos")
    return builder.build("generator", replayed=0)


def test_it_stops_at_the_token_cap() -> None:
    proposal = build(Until(2), "a", "b", "c")

    assert (proposal.text, proposal.stop) == ("ab", "length")


def test_it_leaves_out_the_token_that_closed_the_last_unit() -> None:
    proposal = build(Until(9, WordUnit(), 2), "So", " it", " is")

    assert (proposal.text, proposal.stop, proposal.cuts) == ("So it", "unit", (1, 2))


def test_an_incomplete_unit_is_not_among_the_cuts() -> None:
    proposal = build(Until(9, WordUnit(), 5), "So", " it", ends=True)

    assert (proposal.text, proposal.stop, proposal.cuts) == ("So it", "eos", (1,))


def test_a_stop_string_is_cut_off() -> None:
    proposal = build(Until(9, stop_strings=("END",)), "so", "END", "x")

    assert (proposal.text, proposal.stop) == ("so", "stop_string")


def test_a_stop_string_that_spans_tokens_is_cut_off() -> None:
    proposal = build(Until(9, stop_strings=("\nQ:",)), "so.", "\n", "Q", ":", " x")

    assert (proposal.text, len(proposal.tokens)) == ("so.", 1)


def test_a_stop_string_that_ends_inside_a_token_keeps_the_text_in_front_of_it() -> None:
    proposal = build(Until(9, stop_strings=("END",)), "so", " yesENDing")

    assert proposal.text == "so yes"


def test_a_stop_string_that_began_in_the_text_before_is_found() -> None:
    proposal = build(Until(9, stop_strings=("END",)), "ND", "x", before="so E")

    assert (proposal.text, proposal.stop) == ("", "stop_string")


def test_a_stop_string_wholly_in_the_text_before_is_passed_over() -> None:
    proposal = build(Until(2, stop_strings=("END",)), "a", "b", before="the END")

    assert (proposal.text, proposal.stop) == ("ab", "length")


def test_the_earliest_stop_string_wins() -> None:
    proposal = build(Until(9, stop_strings=("cd", "b")), "abcd")

    assert proposal.text == "a"


def test_an_unfinished_proposal_cannot_be_built() -> None:
    builder = ProposalBuilder(Until(2))

    with pytest.raises(ValueError, match=r"not finished: feed more tokens, or call end\(\)"):
        builder.build("generator", replayed=0)


def test_a_part_keeps_the_cuts_inside_it() -> None:
    proposal = build(Until(9, WordUnit(), 3), "a", " b", " c", " d")

    part = proposal.part(1, 3)

    assert (part.text, part.cuts) == (" b c", (1, 2))


def test_a_predicate_stops_behind_the_token_that_it_was_asked_about() -> None:
    def has_two_commas(tokens: Sequence[Token]) -> bool:
        return "".join(token.text for token in tokens).count(",") == 2

    proposal = build(Until(9, stop_if=has_two_commas), "a", ",", "b", ",", "c")

    assert (proposal.text, proposal.stop) == ("a,b,", "predicate")


def test_a_stop_string_right_behind_itself_is_found() -> None:
    assert build(Until(9, stop_strings=("###",)), "###", "x", before="Q ###").text == ""
    assert build(Until(9, stop_strings=("So",)), "So", " check", before="So").text == ""


def test_a_stop_string_that_began_in_front_says_how_far() -> None:
    proposal = build(Until(9, stop_strings=("c - 5",)), "5", "x", before="d = c - ")

    assert (proposal.text, proposal.stop, proposal.stop_overlap) == ("", "stop_string", 4)


def test_a_token_that_a_stop_string_cuts_is_marked() -> None:
    cut = build(Until(9, stop_strings=("nswer",)), "The", " answer")
    whole = build(Until(9, stop_strings=(" answer",)), "The", " answer")

    assert (cut.text, cut.is_cut, cut.part(0, 1).is_cut) == ("The a", True, False)
    assert (whole.text, whole.is_cut) == ("The", False)
