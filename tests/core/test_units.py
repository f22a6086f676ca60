import pytest
from pydantic import TypeAdapter

from collab.units import StepUnit, TokenUnit, Unit, UnitScanner, WordUnit


def cuts(scanner: UnitScanner, texts: list[str]) -> list[int]:
    return [cut for text in texts if (cut := scanner.feed(text)) is not None]


def test_a_word_ends_before_the_next_token_that_starts_with_a_space() -> None:
    texts = ["So", " the", "re", "fore", " it"]

    assert cuts(WordUnit().scanner(), texts) == [1, 4]


def test_a_blank_line_is_glued_to_the_word_behind_it() -> None:
    texts = ["\n\n", "So", " it"]

    assert cuts(WordUnit().scanner(), texts) == [2]


def test_a_word_ends_after_a_token_with_a_blank_inside_or_at_its_end() -> None:
    # " is:\n" | "\[\n" | "12" | " of the" | "n"
    texts = [" is", ":\n", "\\[\n", "12", " of the", "n"]

    assert cuts(WordUnit().scanner(), texts) == [2, 3, 4, 5]


def test_the_same_text_has_the_same_words_if_only_blanks_move_between_tokens() -> None:
    glued, apart = ["is", ":\n", "x", ".\n", "y", " z"], ["is", ":", "\nx", ".", "\ny", " z"]

    ends = [cuts(WordUnit().scanner(), texts) for texts in (glued, apart)]

    assert ends == [[2, 4, 5], [2, 4, 5]]


def test_tabs_and_other_spaces_do_not_end_a_word() -> None:
    assert cuts(WordUnit().scanner(), ["a", "\tb", "\u00a0c", " d"]) == [3]


def test_a_word_ends_at_its_cap_with_its_last_token() -> None:
    texts = ["x"] * 7

    assert cuts(WordUnit(max_tokens=3).scanner(), texts) == [3, 6]


def test_a_word_after_a_capped_one_may_start_with_a_space() -> None:
    # x x | _y z | _w : the cap closes the first word, the space in front of y does not again.
    assert cuts(WordUnit(max_tokens=2).scanner(), ["x", "x", " y", "z", " w"]) == [2, 4]


def test_a_half_character_belongs_to_the_word() -> None:
    assert cuts(WordUnit().scanner(), ["a", "", "é", " b"]) == [3]


def test_token_units_have_a_fixed_size() -> None:
    assert cuts(TokenUnit(size=2).scanner(), ["a", "b", "c", "d", "e"]) == [2, 4]


def test_a_step_ends_with_its_blank_line() -> None:
    assert cuts(StepUnit().scanner(), ["So", " x", "\n\n", "Now"]) == [3]


def test_a_blank_line_that_hides_inside_a_token_ends_a_step() -> None:
    assert cuts(StepUnit().scanner(), ["So", ".\n\n", "Now"]) == [2]


def test_a_blank_line_spread_over_tokens_ends_a_step() -> None:
    assert cuts(StepUnit().scanner(), ["So", "\n", "\n", "Now"]) == [3]


def test_blank_lines_in_front_of_a_step_do_not_close_it() -> None:
    assert cuts(StepUnit().scanner(), ["\n\n", "So", " x", "\n\n"]) == [4]


@pytest.mark.parametrize("blanks", [[" \n\n"], ["\n", " ", "\n\n"], ["\t\n\n", " \n\n"]])
def test_blanks_alone_are_no_step(blanks: list[str]) -> None:
    assert cuts(StepUnit().scanner(), [*blanks, "So", ".\n\n"]) == [len(blanks) + 2]


def test_a_delimiter_of_letters_is_found_as_a_word() -> None:
    scanner = StepUnit(delimiter="END").scanner()

    assert cuts(scanner, ["DEN", "D.", "x", "END", "END", "y", "END"]) == [2, 4, 7]


def test_a_step_ends_at_its_cap() -> None:
    assert cuts(StepUnit(max_tokens=2).scanner(), ["a", "b", "c", "d"]) == [2, 4]


@pytest.mark.parametrize("unit", [TokenUnit(size=3), WordUnit(), StepUnit(max_tokens=64)])
def test_a_unit_round_trips_through_its_json(unit: Unit) -> None:
    adapter: TypeAdapter[Unit] = TypeAdapter(Unit)

    assert adapter.validate_json(unit.model_dump_json()) == unit
