"""The ways to use a pair, as configurations of ordinary runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collab.errors import ConfigError
from collab.roles import GENERATOR
from collab.runs.config import RunConfig
from collab.runs.config_files import load_config
from collab.runs.yaml_files import read_yaml

WORD_TOKENS, SEGMENT_TOKENS = 1.5, 16
ALONE: Mapping[str, object] = {"policy": "never", "unit": "step", "repeat_limit": 2}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to use the pair.

    Attributes:
        name: As ways.yaml calls it.
        keys: Its keys of a run's configuration.
        alone: The model that writes alone, if one does.
        matches: The way whose mentor share it is given, if it is a control.
    """

    name: str
    keys: Mapping[str, object]
    alone: str = ""
    matches: str = ""


def load_ways(path: Path) -> list[Way]:
    """Return the ways of a YAML file, in its order.

    Raises:
        ConfigError: It cannot be read, or holds something else.
    """
    ways = []
    for name, given in read_yaml(path, "ways").items():
        if not isinstance(given, dict):
            raise ConfigError(f"{path}: {name}: expected keys of a run, found {given!r}")
        keys = dict(given)
        alone, matches = str(keys.pop("alone", "")), str(keys.pop("matches", ""))
        ways.append(Way(name, ALONE | keys if alone else keys, alone, matches))
    return ways


def configured(
    way: Way,
    task: Path,
    flags: Mapping[str, object],
    out: Path,
    *,
    stops: Sequence[str] = (),
    share: float | None = None,
) -> RunConfig:
    """Return a way as a run, whose directory is named after it; a control's also after its rate.

    Args:
        way: The way.
        task: The file of the task.
        flags: Keys over all ways, such as `pair` and `limit`.
        out: The folder of all run directories.
        stops: Texts that end an answer, as few-shot prompts need them.
        share: For a control, the mentor share to be given.

    Raises:
        ConfigError: See `collab.runs.config_files.load_config`.
    """
    keys, folder = dict(way.keys), way.name.replace(" ", "-")
    if share is not None:
        rate = _rate_of(keys, share)
        plugin = "recipe" if "recipe" in keys else "policy"
        keys[plugin] = {**_options(keys, plugin), "rate": rate}
        folder = f"{folder}-{rate:g}"
    if stops and "recipe" in keys:
        keys["recipe"] = {**_options(keys, "recipe"), "stop_strings": list(stops)}
    elif stops:
        keys["stop_strings"] = list(stops)
    if way.alone:
        pair = load_config(task, flags).pair
        if way.alone not in pair.by_role:
            raise ConfigError(f"the pair has no {way.alone!r}; it has {', '.join(pair.by_role)}")
        keys["pair"] = {GENERATOR: pair.by_role[way.alone].model_dump(mode="json")}
    return load_config(task, {**flags, **keys, "out": out / folder})


def _rate_of(keys: Mapping[str, object], share: float) -> float:
    """Return the rate at which a control gives mentors about this share.

    A step is about as long whoever writes it; of words, a mentor writes a whole segment.
    """
    mine, own = (1.0, 1.0) if "recipe" in keys else (SEGMENT_TOKENS, WORD_TOKENS)
    return round(share * own / (mine * (1 - share) + share * own), 4)


def _options(keys: Mapping[str, object], plugin: str) -> dict[str, object]:
    options = keys.get(plugin)
    if not isinstance(options, dict):
        raise ConfigError("a control needs a recipe or a policy that takes a rate")
    return options
