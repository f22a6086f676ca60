"""Every YAML example of the documents is a configuration, a pair or a price file."""

from pathlib import Path
from typing import Any, cast

import pytest
from support.documents import DOCUMENTS, Block, blocks_of, write_named_files

from collab.runs.assembly import build_backends, build_recipe
from collab.runs.config import PairConfig
from collab.runs.config_files import load_config
from collab.runs.yaml_files import parse_yaml

EXAMPLES = blocks_of(DOCUMENTS, "yaml")
LAB = {"use": "local", "model": "lab/mentor"}


@pytest.mark.parametrize("block", [pytest.param(block, id=block.id) for block in EXAMPLES])
def test_the_example_is_a_configuration(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_named_files(block.document, tmp_path)
    values = cast(dict[str, Any], parse_yaml(block.code, block.id))
    if "models" in values:  # a price file
        (tmp_path / "these.yaml").write_text(block.code)
        first, *others = [{"use": "local", "model": name} for name in values["models"]]
        mentors = {f"mentor-{number}": other for number, other in enumerate(others)}
        values = {"pair": {"generator": first, "mentors": mentors}, "prices": "these.yaml"}
    elif set(values) <= set(PairConfig.model_fields):
        values = {"pair": {"generator": LAB, **values}}

    config = load_config(None, values)

    assert build_recipe(config).name
    assert set(build_backends(config)) == set(config.pair.by_role)
