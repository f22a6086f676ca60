"""Configurations: reading them, mistakes in them, building from them, their record."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.run_fakes import ADDER, adder_config, write_problems

from collab.errors import ConfigError, PluginShapeError, ProblemFileError, UnknownPluginError
from collab.proposals import Until
from collab.runs.assembly import build_backends, build_controller, build_recipe
from collab.runs.config import PluginConfig, RunConfig, installed_versions
from collab.runs.config_files import load_config
from collab.units import StepUnit, TokenUnit, WordUnit


def read(folder: Path, text: str, *settings: str, **flags: object) -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(text)
    return load_config(path, flags, settings)


def test_a_file_names_plugins_with_and_without_options(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        pair:
          generator: {use: local, model: lab/generator}
          mentor: local
        policy: {use: random, rate: 0.5}
        verifiers: [agreement, {use: self-judge, order: both}]
        """,
    )

    assert config.pair.generator == PluginConfig.model_validate(
        {"use": "local"} | {"model": "lab/generator"}
    )
    assert config.pair.mentors_by_name == {"mentor": PluginConfig(use="local")}
    assert config.policy == PluginConfig.model_validate({"use": "random"} | {"rate": 0.5})
    assert config.verifiers == (
        PluginConfig(use="agreement"),
        PluginConfig.model_validate({"use": "self-judge"} | {"order": "both"}),
    )


def test_an_empty_file_is_the_shipped_pair_with_the_default_recipe(tmp_path: Path) -> None:
    config = read(tmp_path, "")

    assert config == load_config(None, {"pair": "lab"})
    assert config.compared_record()["recipe"] == {"use": "mentorcollab-free"}


def test_flags_override_the_file_and_settings_override_both(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "seed: 1\nconcurrency: 2\npolicy: {use: random, rate: 0.1}",
        "concurrency=4",
        "policy.rate=0.9",
        seed=3,
    )

    assert (config.seed, config.concurrency) == (3, 4)
    assert config.policy == PluginConfig.model_validate({"use": "random"} | {"rate": 0.9})


def test_another_recipe_takes_none_of_the_options_of_the_one_it_replaces(tmp_path: Path) -> None:
    text = "recipe: {use: mentorcollab-free, rate: 0.5}\npair: lab\n"

    other = read(tmp_path, text, recipe={"use": "glimprouter", "top_k": 5})
    same = read(tmp_path, text, recipe={"use": "mentorcollab-free", "segment_tokens": 4})

    assert other.recipe is not None
    assert same.recipe is not None
    assert other.recipe.options == {"top_k": 5}
    assert same.recipe.options == {"rate": 0.5, "segment_tokens": 4}


def test_a_recipe_flag_replaces_the_policy_of_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, "policy: never\nunit: step", recipe="mentorcollab-free")

    assert config.policy is None
    assert config.recipe == PluginConfig(use="mentorcollab-free")


def test_a_policy_flag_replaces_the_recipe_of_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, "recipe: mentorcollab-free", policy="never")

    assert config.recipe is None
    assert config.policy == PluginConfig(use="never")


def test_one_bound_of_the_run_budget_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    config = read(tmp_path, "run_budget: {max_tokens: 9}", run_budget={"max_mentor_tokens": 5})

    assert config.run_budget.max_tokens == 9
    assert config.run_budget.max_mentor_tokens == 5


def test_settings_reach_the_pair_the_verifier_the_recipe_and_the_budget() -> None:
    composed = load_config(
        None,
        {"policy": "random", "verifiers": ["self-judge"]},
        ["mentor.threads=4", "verifier.order=both", "verifiers.0.threshold=0.6"],
    )
    named = load_config(None, {}, ["recipe.rate=0.5", "budget.max_calls=20"])

    assert composed.pair.mentor is not None
    assert composed.pair.mentor.options["threads"] == 4
    assert composed.verifiers[0].options == {"order": "both", "threshold": 0.6}
    assert named.recipe == PluginConfig.model_validate({"use": "mentorcollab-free"} | {"rate": 0.5})
    assert named.budget.max_calls == 20


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("token", TokenUnit()),
        ("word", WordUnit()),
        ("step", StepUnit()),
        ("5", TokenUnit(size=5)),
        (7, TokenUnit(size=7)),
        ({"kind": "step", "max_tokens": 9}, StepUnit(max_tokens=9)),
    ],
)
def test_a_unit_is_a_word_a_number_or_a_mapping(value: object, unit: object) -> None:
    assert load_config(None, {"policy": "never", "unit": value}).unit == unit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeed: 3", r"run\.yaml: unknown key 'seeed'; did you mean 'seed'\? keys: budget, conc"),
        (
            "budget: {max_tokns: 3}",
            r"unknown key 'max_tokns' in budget; did you mean 'max_tokens'\? keys: deadline_s",
        ),
        (
            "policy: never\nunit: {kind: step, max_tokn: 3}",
            r"unknown key 'max_tokn' in unit\.step; did you mean 'max_tokens'\? keys: delimiter",
        ),
        ("concurrency: 0", r"concurrency: .* greater than or equal to 1 \(found 0\)"),
        ("policy: never\nunit: wrd", r"unit: expected token, word, step or a number of tokens"),
        ("policy: 3", r"policy: expected the name of a plug-in, or \{use: NAME, option: value"),
        ("unit: word", r"unit needs a policy; a recipe takes such things as its options"),
        (
            "recipe: mentorcollab-free\npolicy: never",
            r"policy cannot stand beside a recipe, which decides it",
        ),
        ("pair: labb", r"no pair 'labb'; did you mean 'lab'\? it is neither a file nor one of"),
        ("- a\n- b", r"run\.yaml: expected keys and values, found list"),
        ("a: [", r"run\.yaml is not YAML: .*line 1, column 5"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["policy.rate"], r"setting 'policy\.rate' is not KEY=VALUE, such as policy\.rate=0\.5"),
        (["=3"], r"setting '=3' is not KEY=VALUE"),
        (["seed=["], r"setting 'seed=\[': '\[' is not YAML"),
        (["policy.rate=1"], r"setting 'policy\.rate=1': no policy is given; name one first"),
        (["verifier.x=1"], r"setting 'verifier\.x=1': there are 0 verifiers; write verifiers\.0"),
        (["verifiers.3.x=1"], r"setting 'verifiers\.3\.x=1': there is no '3'"),
        (["sede=1"], r"command line: unknown key 'sede'; did you mean 'seed'\?"),
    ],
)
def test_a_mistake_in_a_setting_is_named(settings: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, {}, settings)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration '.*none\.yaml'"):
        load_config(tmp_path / "none.yaml")


def test_a_pair_file_holds_a_generator_and_a_mentor(tmp_path: Path) -> None:
    pair = tmp_path / "pair.yaml"
    pair.write_text("generator: {use: local, model: a}\nmentor: {use: local, model: b}")

    config = load_config(None, {"pair": str(pair)}, ["generator.threads=2"])

    assert config.pair.generator.options == {"model": "a", "threads": 2}
    assert config.pair.mentor == PluginConfig.model_validate({"use": "local"} | {"model": "b"})


def test_the_recipe_is_composed_of_policy_verifiers_and_unit(tmp_path: Path) -> None:
    config = adder_config(tmp_path, unit="step", max_answer_tokens=99, stop_strings=["Q:"])

    recipe = build_recipe(config)

    assert type(recipe.policy).__name__ == "RandomPositions"
    assert [type(one).__name__ for one in recipe.verifiers] == ["AlwaysMentor"]
    assert recipe.unit == StepUnit()
    assert (recipe.segment.max_tokens, recipe.max_answer_tokens) == (2, 99)
    assert recipe.stop_strings == ("Q:",)


def test_a_named_recipe_is_made_with_its_options() -> None:
    recipe = build_recipe(load_config(None, {}, ["recipe.max_answer_tokens=7"]))

    assert (recipe.name, recipe.max_answer_tokens) == ("mentorcollab-free", 7)


def test_backends_are_built_by_role(tmp_path: Path) -> None:
    pair = {"generator": {"use": ADDER, "error": 1}, "mentor": ADDER, "mentors": {"second": ADDER}}

    backends = build_backends(adder_config(tmp_path, pair=pair))

    assert list(backends) == ["generator", "mentor", "second"]


def test_an_unknown_plugin_is_named_with_what_was_perhaps_meant(tmp_path: Path) -> None:
    config = adder_config(tmp_path, policy="randm")

    with pytest.raises(UnknownPluginError, match=r"no policy 'randm'; did you mean 'random'\?"):
        build_controller(config)


def test_an_unknown_option_is_named_with_what_was_perhaps_meant(tmp_path: Path) -> None:
    config = adder_config(tmp_path, policy={"use": "random", "rat": 1})

    with pytest.raises(
        PluginShapeError, match=r"policy 'random' has no option 'rat'; did you mean 'rate'\?"
    ):
        build_controller(config)


def test_a_bound_on_cost_needs_prices(tmp_path: Path) -> None:
    config = adder_config(tmp_path, run_budget={"max_cost_usd": 1})

    with pytest.raises(
        ConfigError, match=r"max_cost_usd bounds nothing while the generator and the mentor has no"
    ):
        build_controller(config)


def test_the_record_leaves_out_what_changes_no_row(tmp_path: Path) -> None:
    one = adder_config(tmp_path, concurrency=1, limit=3, out="a")
    other = adder_config(tmp_path, concurrency=9, limit=None, out="b", run_budget={"max_tokens": 5})

    assert one.compared_record() == other.compared_record()


def test_the_record_has_the_content_of_the_problems_file(tmp_path: Path) -> None:
    config = adder_config(tmp_path)
    before = config.compared_record()["problems_sha256"]

    write_problems(tmp_path / "problems.jsonl", 13)

    assert config.compared_record()["problems_sha256"] != before


def test_the_record_of_a_missing_problems_file_cannot_be_made(tmp_path: Path) -> None:
    config = adder_config(tmp_path)
    (tmp_path / "problems.jsonl").unlink()

    with pytest.raises(ProblemFileError, match=r"cannot read problems from '.*problems\.jsonl'"):
        config.compared_record()


def test_a_configuration_survives_being_written_and_read(tmp_path: Path) -> None:
    config = adder_config(tmp_path, unit=4)

    assert RunConfig.model_validate_json(config.model_dump_json(exclude={"recipe"})) == config


def test_versions_are_recorded() -> None:
    assert list(installed_versions()) == ["python", "collab", "torch", "transformers"]


def test_a_proposal_is_sixteen_tokens_long_unless_told_otherwise(tmp_path: Path) -> None:
    plain = read(tmp_path, "policy: always")
    longer = read(tmp_path, "policy: always\nsegment_tokens: 40")
    whole_steps = read(tmp_path, "policy: always\nsegment_unit: step")

    assert build_recipe(plain).segment == Until(16)
    assert build_recipe(longer).segment == Until(40)
    assert build_recipe(whole_steps).segment == Until(512, StepUnit())


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            "generator: a\n  mentors: {generator: b}",
            "a mentor or judge cannot be named 'generator'",
        ),
        (
            "generator: a\n  mentor: b\n  mentors: {mentor: c}",
            "'mentor' is given twice, as `mentor` and in `mentors`",
        ),
    ],
)
def test_no_participant_is_named_twice(pair: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, f"pair:\n  {pair}\n")


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the key 'policy' is given twice"):
        read(tmp_path, "policy: never\npolicy: always\n")


def test_settings_of_one_configuration_do_not_reach_the_next_of_the_same_pair() -> None:
    load_config(None, {"pair": "lab"}, ["generator.model=lab/mentor"])

    untouched = load_config(None, {"pair": "lab"})

    assert untouched.pair.generator.options["model"] == "lab/generator"


@pytest.mark.parametrize(
    ("given", "taken"),
    [({}, [0, 1, 2, 3]), ({"limit": 2}, [0, 1]), ({"offset": 1, "limit": 2}, [1, 2])],
)
def test_offset_and_limit_choose_problems(
    tmp_path: Path, given: dict[str, int], taken: list[int]
) -> None:
    assert adder_config(tmp_path, **given).chosen(range(4)) == taken
