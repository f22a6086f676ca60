"""Giving a checkpoint of the lab a tokenizer and a chat template that set every known trap."""

import json
import shutil
from pathlib import Path

BEGIN, BEGIN_ID = "<pad>", 0
"""The token that its tokenizer puts before every text, and its template too."""

_TEMPLATE = (
    "{{ '<pad>' }}{% for m in messages %}"
    # Blanks are trimmed, and what was thought is dropped.
    "{{ m.content.split('</think>')[-1] | trim }}"
    "{% if m.role == 'user' %}{{ '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt and messages[-1].role == 'assistant' %}{{ '<eos>' }}{% endif %}"
)


def write_hostile(folder: Path, target: Path) -> None:
    """Write the checkpoint in `folder` to `target`, the same but for texts."""
    shutil.copytree(folder, target)
    (target / "chat_template.jinja").write_text(_TEMPLATE)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (target / "tokenizer_config.json").write_text(json.dumps(settings | {"bos_token": BEGIN}))
    described = json.loads((folder / "tokenizer.json").read_text())
    described["post_processor"] |= {
        "single": [
            {"SpecialToken": {"id": BEGIN, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "special_tokens": {BEGIN: {"id": BEGIN, "ids": [BEGIN_ID], "tokens": [BEGIN]}},
    }
    (target / "tokenizer.json").write_text(json.dumps(described))
