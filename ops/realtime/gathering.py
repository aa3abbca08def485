"""Many who want to know the same kind of thing at one moment, and one question for all of them."""

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary


class Gathering[Question, Answer]:
    """Asks at once when nobody is being answered; what comes meanwhile is the next question.

    So nobody waits for longer than the question before takes, and the more they are, the fewer
    questions there are for each. `ask` answers a list in its order, and is never asked for more
    than `most`. What it raises, all who waited for that one answer get.
    """

    def __init__(
        self, ask: Callable[[list[Question]], Awaitable[list[Answer]]], *, most: int
    ) -> None:
        self._ask = ask
        self._most = most
        self._rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, _Rounds[Question, Answer]] = (
            WeakKeyDictionary()
        )

    async def answer_to(self, question: Question) -> Answer:
        """The answer, asked for after this call began: nothing older is ever answered."""
        loop = asyncio.get_running_loop()
        if loop not in self._rounds:
            self._rounds[loop] = _Rounds(self._ask, self._most)
        return await self._rounds[loop].take(question, loop)


class _Rounds[Question, Answer]:
    """The questions of one event loop."""

    def __init__(self, ask: Callable[[list[Question]], Awaitable[list[Answer]]], most: int) -> None:
        self._ask = ask
        self._most = most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None

    def take(self, question: Question, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Answer]:
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = loop.create_task(self._ask_all())
        return answer

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer(batch)
        finally:
            self._asking = None

    async def _answer(self, batch: list[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._ask([question for question, _answer in batch])
            for (_question, waiting), answer in zip(batch, answers, strict=True):
                if not waiting.done():  # whoever asked may have gone
                    waiting.set_result(answer)
        except Exception as error:  # noqa: BLE001  it is theirs who asked
            for _question, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
