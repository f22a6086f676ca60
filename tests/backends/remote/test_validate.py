"""`collab validate` with servers, good and bad: what it says, what it never shows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import yaml
from support.cli_helpers import invoke
from support.run_fakes import ADDER, write_problems
from support.servers import IMPATIENT, Scripted, listening, running, status
from typer.testing import Result

SECRET = "sk-very-secret-4711"


def answering(status: str, body: str, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n{body}".encode()


def openai(base_url: str, **options: object) -> dict[str, object]:
    patience = IMPATIENT.model_dump()
    return {
        "use": "openai",
        "model": "m",
        "base_url": base_url,
        "patience": patience,
        **options,
    }


async def validate(
    folder: Path, mentor: object, *flags: str, generator: object = ADDER, **values: object
) -> Result:
    """Run the command beside this event loop, which serves."""
    path = folder / "run.yaml"
    config = {
        "pair": {"generator": generator, "mentor": mentor},
        "policy": "always",
        "problems": str(write_problems(folder / "problems.jsonl", 3)),
    }
    path.write_text(yaml.safe_dump(config | values))
    call: Callable[[], Result] = lambda: invoke("validate", path, "--load", *flags)  # noqa: E731
    shown = await anyio.to_thread.run_sync(call)
    assert "Traceback" not in shown.output
    return shown


def unwrapped(text: str) -> str:
    return " ".join(text.split())


async def test_a_good_server_is_described(tmp_path: Path) -> None:
    async with running(Scripted()) as server:
        shown = await validate(tmp_path, openai(server.url, view={"template": "raw"}), "--json")

    assert shown.exit_code == 0
    found: dict[str, Any] = json.loads(shown.stdout)
    _, mentor = found["models"]["participants"]
    assert (mentor["is_reached"], mentor["model"], mentor["served_by"]) == (True, "m", "scripted")
    assert mentor["place"] == server.url
    assert mentor["capabilities"]["prefix_mode"] == "text"
    assert mentor["capabilities"]["top_logprobs"] == 5
    assert mentor["template"]["counted"] == 1
    assert found["models"]["needs"] == [
        {
            "plugin": "Always",
            "role": "mentor",
            "ability": "text",
            "amount": None,
            "state": "met",
            "instead": None,
        }
    ]


async def test_what_the_handshake_did_not_see_is_shown(tmp_path: Path) -> None:
    async with running(Scripted(top_logprobs=0)) as server:
        shown = await validate(tmp_path, openai(server.url))

    assert shown.exit_code == 0
    assert "not seen  mentor: no log-probabilities are given" in shown.stdout
    assert max(map(len, shown.stdout.splitlines()[3:])) <= 80
    assert shown.stdout.isascii()


async def test_a_model_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    async with running(Scripted(faults=[status(404, "no such model")] * 4)) as server:
        shown = await validate(tmp_path, openai(server.url, model="other"))

    assert shown.exit_code == 1
    assert "has no model 'other'; it has: m" in unwrapped(shown.stdout)
    assert "reached yes no model adder+0 -" in unwrapped(shown.stdout)  # the generator was checked
    assert "to be asked  mentor  unknown" in shown.stdout


async def test_a_server_that_is_not_there_keeps_nobody_else_from_being_checked(
    tmp_path: Path,
) -> None:
    gone = openai("http://127.0.0.1:9/v1")

    shown = await validate(tmp_path, ADDER, "--json", generator=gone)

    assert shown.exit_code == 1
    generator, mentor = json.loads(shown.stdout)["models"]["participants"]
    assert (generator["is_reached"], mentor["is_reached"]) == (False, True)
    assert "http://127.0.0.1:9/v1 cannot be used" in generator["error"]
    assert generator["capabilities"] is None


@pytest.mark.parametrize("has_key", [True, False])
async def test_a_refused_key_is_told_by_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_key: bool
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if has_key:
        monkeypatch.setenv("MY_KEY", SECRET)
    refusal = json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}})
    async with listening(answering("401 Unauthorized", refusal if has_key else "{}")) as port:
        url = f"http://127.0.0.1:{port}/v1"
        shown = await validate(tmp_path, openai(url, api_key_env="MY_KEY"))
        as_json = await validate(tmp_path, openai(url, api_key_env="MY_KEY"), "--json")

    told = unwrapped(shown.stdout)
    where = "was read from the environment variable MY_KEY" if has_key else "MY_KEY is not set"
    assert shown.exit_code == as_json.exit_code == 1
    assert "refused the key (status 401)" in told
    assert where in told
    assert SECRET not in shown.output + as_json.output


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (answering("200 OK", "<html>Hi</html>", "text/html"), "is not an OpenAI-compatible server"),
        (answering("200 OK", '{"status": "fine"}'), "is not an OpenAI-compatible server"),
        (answering("404 Not Found", "{}"), "Does the base URL end with the version path"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "Expected HTTP/"),
    ],
)
async def test_a_server_of_another_kind_is_told(tmp_path: Path, answer: bytes, told: str) -> None:
    async with listening(answer) as port:
        shown = await validate(tmp_path, openai(f"http://127.0.0.1:{port}/v1"))

    assert shown.exit_code == 1
    assert told in unwrapped(shown.stdout)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8000/v1", "is not a base URL; write it with its scheme and version path"),
        ("http://127.0.0.1:8000/v1/chat/completions", "leave out '/chat/completions'"),
        (f"http://me:{SECRET}@127.0.0.1/v1/models", "holds a user, a password or a query"),
        (f"http://127.0.0.1/v1?key={SECRET}", "holds a user, a password or a query"),
        (f"me:{SECRET}@127.0.0.1/v1", "is not a base URL"),
    ],
)
async def test_a_base_url_that_cannot_be_one_is_told(tmp_path: Path, url: str, told: str) -> None:
    shown = await validate(tmp_path, openai(url))

    assert shown.exit_code == 2
    assert told in shown.stderr
    assert SECRET not in shown.output


async def test_a_key_in_the_configuration_is_refused_and_not_shown(tmp_path: Path) -> None:
    shown = await validate(tmp_path, openai("http://127.0.0.1/v1", api_key=SECRET))

    assert shown.exit_code == 2
    assert "has no option 'api_key'; did you mean 'api_key_env'?" in shown.stderr
    assert SECRET not in shown.output


async def test_two_roles_on_one_endpoint_are_a_note(tmp_path: Path) -> None:
    async with running(Scripted()) as server:
        here = openai(server.url)
        shown = await validate(tmp_path, {**here, "max_connections": 4}, generator=here)

    assert shown.exit_code == 0
    assert "are the same model at the same place" in unwrapped(shown.stdout)
