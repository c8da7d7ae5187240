"""Questions that take long and tell how far they are, to whoever asks for it with `progress`.

Lines of NDJSON while the work goes on, and the answer as the last one. What is refused at once is
refused as ever; later the error is the last line, with the status that it would have had.
"""

from collections.abc import Awaitable, Callable, Mapping

import anyio
import msgspec

from daemon.answers import Answer, Problem
from daemon.answers.underway import Underway
from daemon.api.asked import Asked, Question
from daemon.api.faults import in_band, status_of
from daemon.errors import BadRequest, ValkeepError
from events.log import LogError

BEAT_SECONDS = 0.5
PROGRESS = "progress"
MEDIA = "application/x-ndjson"
Write = Callable[[bytes], Awaitable[None]]


class _Work:
    """One question while it is worked on."""

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.answer: Answer | None = None
        self.refusal: ValkeepError | LogError | None = None
        self._at = Underway("starting")

    def tell(self, doing: str, done: int = 0, total: int | None = None) -> None:
        """See `daemon.ports.Tell`."""
        self._at = Underway(doing, done, total)

    def line(self) -> bytes:
        """How far it is."""
        return b'{"progress":%b}\n' % msgspec.json.encode(self._at)

    async def run(self, question: Question, asked: Asked) -> None:
        """Answer; what it is refused with is kept for the last line."""
        try:
            self.answer = await question(msgspec.structs.replace(asked, tell=self.tell))
        except (ValkeepError, LogError) as error:
            self.refusal = error
        self.ended.set()

    def last(self) -> bytes:
        """The answer, or the error in its place."""
        if isinstance(self.refusal, ValkeepError):
            error = self.refusal
            problem = Problem(error.code, error.message, error.hint)
            return in_band(problem, status_of(error))
        if self.refusal is not None:
            return in_band(Problem("log", self.refusal.message, self.refusal.hint))
        return b'{"answer":%b}\n' % msgspec.json.encode(self.answer)


def wanted(query: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
    """Whether it is to be told how far a question is, and the parameters of the question itself."""
    said = query.get(PROGRESS, "false")
    if said not in ("true", "false"):
        hint = "With true the answer comes as lines, the answer itself as the last one."
        raise BadRequest("query", f"{PROGRESS} is true or false, not {said!r}.", hint)
    return said == "true", {name: value for name, value in query.items() if name != PROGRESS}


async def tell(question: Question, asked: Asked, write: Write) -> None:
    """Write a line now and then until the question is answered, and that as the last one.

    Raises what it is refused with before the first line.
    """
    work, begun = _Work(), False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work.run, question, asked)
        while not work.ended.is_set():
            with anyio.move_on_after(BEAT_SECONDS):
                await work.ended.wait()
            if not work.ended.is_set():
                begun = True
                await write(work.line())
    if work.refusal is not None and not begun:
        raise work.refusal
    await write(work.last())
