"""One question for many who want to know the same kind of thing at one moment."""

import asyncio

import pytest

from ops.realtime.gathering import Gathering
from ops.tests.sockets import until


class Oracle:
    """Answers each question with ten times itself, when it may, and notes what it was asked."""

    def __init__(self):
        self.asked = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.failure = None

    async def ask(self, questions):
        self.asked.append(questions)
        await self.may_answer.wait()
        if self.failure in questions:
            raise ZeroDivisionError
        return [10 * question for question in questions]


@pytest.fixture
async def oracle():
    return Oracle()


@pytest.fixture
async def gathering(oracle):
    return Gathering(oracle.ask, most=3)


async def test_those_of_one_moment_are_one_question(oracle, gathering):
    answers = await asyncio.gather(*(gathering.answer_to(number) for number in (1, 2, 3)))
    assert answers == [10, 20, 30]
    assert oracle.asked == [[1, 2, 3]]


async def test_who_comes_meanwhile_is_in_the_next_question_and_never_in_the_one_before(
    oracle, gathering
):
    oracle.may_answer.clear()
    first = asyncio.create_task(gathering.answer_to(1))
    await until(lambda: oracle.asked)
    later = [asyncio.create_task(gathering.answer_to(number)) for number in (1, 2)]
    oracle.may_answer.set()
    assert await first == 10
    assert await asyncio.gather(*later) == [10, 20]
    assert oracle.asked == [[1], [1, 2]]


async def test_no_question_is_larger_than_it_may_be(oracle, gathering):
    answers = await asyncio.gather(*(gathering.answer_to(number) for number in range(7)))
    assert answers == [0, 10, 20, 30, 40, 50, 60]
    assert oracle.asked == [[0, 1, 2], [3, 4, 5], [6]]


async def test_a_failure_is_of_those_who_waited_for_it_alone(oracle, gathering):
    oracle.failure = 2
    answers = await asyncio.gather(
        *(gathering.answer_to(number) for number in range(5)), return_exceptions=True
    )
    assert [type(answer) for answer in answers[:3]] == [ZeroDivisionError] * 3
    assert answers[3:] == [30, 40]
    assert await gathering.answer_to(5) == 50


async def test_an_answer_too_few_is_a_failure_and_leaves_nobody_waiting():
    async def forget(questions):
        return questions[1:]

    gathering = Gathering(forget, most=3)
    answers = await asyncio.gather(
        gathering.answer_to(1), gathering.answer_to(2), return_exceptions=True
    )
    assert isinstance(answers[1], ValueError)


@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_goes_takes_nothing_from_the_others(oracle, gathering, fails):
    oracle.may_answer.clear()
    oracle.failure = 2 if fails else None
    gone, there = (asyncio.create_task(gathering.answer_to(number)) for number in (1, 2))
    await until(lambda: oracle.asked)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    oracle.may_answer.set()
    if fails:
        with pytest.raises(ZeroDivisionError):
            await there
    else:
        assert await there == 20


def test_a_loop_after_another_begins_afresh():
    """As one process does after another, with the first still waiting at its end."""
    oracle_of_all = []

    async def ask(questions):
        oracle_of_all.append(questions)
        if questions == [1]:
            await asyncio.Event().wait()
        return questions

    gathering = Gathering(ask, most=3)

    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gathering.answer_to(1), 0.01)

    asyncio.run(give_up())
    assert asyncio.run(gathering.answer_to(2)) == 2
    assert oracle_of_all == [[1], [2]]
