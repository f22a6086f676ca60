"""Small models of one process take turns, each in the order of asking."""

from collections import deque
from contextlib import suppress
from threading import Thread

import pytest
from transformers import Qwen3Config, Qwen3ForCausalLM

from collab_backends.local.turns import SMALL_PARAMETERS, Turns, turns_of


def test_waiters_get_their_turn_in_the_order_of_asking() -> None:
    turns, order = Turns(), deque[int]()

    def take(number: int) -> None:
        with turns:
            order.append(number)

    threads = []
    with turns:
        for number in range(5):
            threads.append(Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(turns._waiting) <= number:
                pass
    for thread in threads:
        thread.join()
    assert list(order) == [0, 1, 2, 3, 4]


def test_one_at_a_time_also_under_failure() -> None:
    turns, inside, most = Turns(), 0, 0

    def fail_inside() -> None:
        nonlocal inside, most
        with turns:
            inside += 1
            most = max(most, inside)
            inside -= 1
            raise ValueError

    def take() -> None:
        for _ in range(200):
            with suppress(ValueError):
                fail_inside()

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    with turns:
        pass


@pytest.mark.parametrize(("vocabulary", "is_small"), [(256, True), (600_000, False)])
def test_only_small_models_share_a_turn(vocabulary: int, is_small: bool) -> None:
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=True,
    )
    one, other = Qwen3ForCausalLM(config), Qwen3ForCausalLM(config)
    assert (one.num_parameters() < SMALL_PARAMETERS) is is_small
    assert (turns_of(one) is turns_of(other)) is is_small
