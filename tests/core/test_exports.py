"""The names that `collab` itself offers: a change here is a change for every user."""

import ast
import re

import pytest
from support.documents import ROOT

import collab

NAMES = [
    "GENERATOR",
    "MENTOR",
    "NOBODY",
    "Abstain",
    "Backend",
    "BlockingController",
    "Budget",
    "Call",
    "Candidate",
    "Capabilities",
    "Case",
    "Committed",
    "Consult",
    "Continue",
    "Controller",
    "Decided",
    "Decision",
    "Desk",
    "Distribution",
    "Draft",
    "Ended",
    "Ending",
    "Finish",
    "Finished",
    "Inject",
    "Mark",
    "Message",
    "Model",
    "Need",
    "Observation",
    "Pair",
    "Phases",
    "Policy",
    "PolicySession",
    "Price",
    "Problem",
    "Proposal",
    "Reason",
    "Recipe",
    "RecipeFactory",
    "Result",
    "RolledBack",
    "Sampling",
    "Session",
    "Settled",
    "Span",
    "Steerer",
    "SteererSession",
    "Steering",
    "StepUnit",
    "Strategy",
    "StreamEvent",
    "ThinkingTags",
    "Token",
    "TokenUnit",
    "Unit",
    "Until",
    "Usage",
    "Verdict",
    "Verified",
    "Verifier",
    "VerifierDesk",
    "VerifierSession",
    "Verify",
    "ViewOptions",
    "WordUnit",
    "__version__",
    "read_problems",
]

DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def test_the_names_are_these() -> None:
    assert sorted(collab.__all__) == sorted(NAMES)
    assert all(hasattr(collab, name) for name in NAMES)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_the_documents_import_from_the_top_is_offered_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    imported = {
        alias.name
        for block in blocks
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and node.module == "collab"
        for alias in node.names
    }

    assert imported <= set(collab.__all__)
