import anyio
import pytest

from collab.concurrency import concurrently, unwrapped


async def test_both_results_are_returned_in_order() -> None:
    async def one() -> int:
        await anyio.lowlevel.checkpoint()
        return 1

    async def two() -> str:
        return "two"

    assert await concurrently(one, two) == (1, "two")


async def test_an_error_of_one_cancels_the_other_and_comes_out_as_itself() -> None:
    was_cancelled = False

    async def fail() -> int:
        raise KeyError("first")

    async def wait() -> int:
        nonlocal was_cancelled
        try:
            await anyio.sleep_forever()
        except BaseException:
            was_cancelled = True
            raise
        return 0

    with pytest.raises(KeyError, match="first"):
        await concurrently(wait, fail)
    assert was_cancelled


def test_only_the_groups_own_wrapping_is_taken_off() -> None:
    mine = ExceptionGroup("mine", [KeyError("a")])

    with pytest.raises(ExceptionGroup, match="mine"), unwrapped():
        raise ExceptionGroup("of the task group", [mine])


def test_several_errors_stay_together() -> None:
    with pytest.raises(ExceptionGroup, match="both"), unwrapped():
        raise ExceptionGroup("both", [KeyError("a"), ValueError("b")])


async def test_an_error_keeps_what_it_stems_from() -> None:
    async def fail() -> int:
        raise ValueError("the error") from KeyError("the cause")

    with pytest.raises(ValueError, match="the error") as caught:
        await concurrently(anyio.sleep_forever, fail)

    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_keeps_the_one_it_was_raised_beside() -> None:
    error = ValueError("the error")
    error.__context__ = KeyError("beside")

    with pytest.raises(ValueError, match="the error") as caught, unwrapped():
        raise ExceptionGroup("of the task group", [error])

    assert isinstance(caught.value.__context__, KeyError)
