"""Text for terminals."""

from collab.cli.terminal import authored, columns, harmless, listed, percent, with_interval


def test_control_characters_are_taken_out_and_lines_stay() -> None:
    assert harmless("a\x1b[31m\r\x07b\n\tc\x9b\u202ed\ud800") == "a[31mb\n\tcd"


def test_a_mark_stands_around_the_mentors_words_and_not_around_blanks() -> None:
    assert authored(" so it is.\n\n", "mentor").plain == " ⟦so it is.⟧\n\n"


def test_blanks_generators_and_policies_are_not_marked() -> None:
    assert authored("\n\n", "mentor").plain == "\n\n"
    assert authored("so", "generator").plain == "so"
    assert authored("Wait,", "policy:Checker").plain == "Wait,"


def test_a_mentor_is_in_colour_too() -> None:
    assert [str(span.style) for span in authored("so", "second").spans] == ["bold magenta"]


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    table = columns([("name", "n"), ("a", "5"), ("long one", "100")])

    assert table.splitlines() == ["name        n", "a           5", "long one  100"]


def test_shares_are_percentages() -> None:
    assert percent(0.1234) == "12.3 %"
    assert with_interval(0.5, (0.25, 0.75)) == "50.0 % (25.0 to 75.0)"
    assert with_interval(None, (0.0, 1.0)) == "-"


def test_only_what_was_counted_is_listed() -> None:
    assert listed({"correct": 3, "wrong": 0, "no_answer": 1}) == "3 correct, 1 no answer"
