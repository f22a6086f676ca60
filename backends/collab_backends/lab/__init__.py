"""The lab: a tiny generator and mentor, and the held-out problems that they are measured on.

`LAB_FOLDER` holds `generator/` and `mentor/`, each a complete transformers folder, and
`problems.jsonl`. `MODEL_CARD.md` says how they were made and what they can and cannot do.
"""

from pathlib import Path

LAB_FOLDER = Path(__file__).parent
