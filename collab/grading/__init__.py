"""Grading: the answer that a text gives, and whether it is the right one."""

from collab.grading.answers import extract_answer, extract_choice, grade
from collab.grading.comparing import answers_match, is_right, judge_of
from collab.grading.grades import (
    OUTCOMES,
    ComparedBy,
    Extraction,
    FoundBy,
    Grade,
    Grader,
    Judge,
    Outcome,
)

__all__ = [
    "OUTCOMES",
    "ComparedBy",
    "Extraction",
    "FoundBy",
    "Grade",
    "Grader",
    "Judge",
    "Outcome",
    "answers_match",
    "extract_answer",
    "extract_choice",
    "grade",
    "is_right",
    "judge_of",
]
