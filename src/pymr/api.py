"""What a `worker.py` sees. Standard library only, so that importing it costs nothing."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar

from pymr.errors import WorkerFileError

T_co = TypeVar("T_co", covariant=True)


class Builtin(enum.Enum):
    """A combiner or reducer that the engine computes by itself."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    IDENTITY = "identity"

    def __repr__(self) -> str:
        return f"pymr.{self.name}"


class InputFormat(enum.Enum):
    """What one call of the mapper receives.

    TEXT: a `str` of whole lines, about 64 KiB. LINES: a `str`, one line without its end.
    WHOLE: `bytes`, one whole file.
    """

    TEXT = "text"
    LINES = "lines"
    WHOLE = "whole"

    def __repr__(self) -> str:
        return f"pymr.{self.name}"


SUM, MIN, MAX, COUNT = Builtin.SUM, Builtin.MIN, Builtin.MAX, Builtin.COUNT
IDENTITY = Builtin.IDENTITY
TEXT, LINES, WHOLE = InputFormat.TEXT, InputFormat.LINES, InputFormat.WHOLE


class InputPosition(Protocol):
    """Where the record that the mapper works on comes from."""

    @property
    def file(self) -> str:
        """The input file, as it was given."""

    @property
    def offset(self) -> int:
        """The byte offset of the first byte of the chunk or record (decoded, if compressed)."""


class Context(Protocol):
    """The first argument of every function of a worker."""

    @property
    def input(self) -> InputPosition:
        """The place of the current record.

        Raises:
            RuntimeError: not in a mapper: a key, or `setup`, has no one place.
        """

    @property
    def params(self) -> dict[str, str]:
        """The values of `--set KEY=VALUE`. A copy: changing it changes nothing else."""

    def emit(self, key: Any, value: Any) -> None:
        """Send one pair on.

        Raises:
            TypeError: `key` is not None, bool, int, float, str, bytes or a tuple of them.
            ValueError: `key` or `value` is larger than its limit.
        """

    def count(self, name: str, number: int = 1) -> None:
        """Add `number` to the counter `name`; only committed attempts count."""


class Values(Protocol[T_co]):
    """The values of one key in input order: lazy, one pass, maybe larger than memory."""

    def __iter__(self) -> Iterator[T_co]:
        """Return the iterator; a second call raises RuntimeError."""

    def __next__(self) -> T_co:
        """Return the next value."""


Pairs: TypeAlias = Iterable[tuple[Any, Any]] | None
Mapper: TypeAlias = Callable[[Any, Any], Pairs]
Reducer: TypeAlias = Callable[[Any, Any, Any], Pairs]
Partitioner: TypeAlias = Callable[[Any, int], int]
Hook: TypeAlias = Callable[[Any], None]

_SIGNATURES = {
    "mapper": "def mapper(ctx, chunk):\n    ctx.emit(key, value)",
    "reducer": "def reducer(ctx, key, values):\n    ctx.emit(key, sum(values))",
    "combiner": "def combiner(ctx, key, values):\n    ctx.emit(key, sum(values))",
    "partitioner": "def partitioner(key, partitions):\n    return 0",
    "setup": "def setup(ctx):\n    ...",
    "teardown": "def teardown(ctx):\n    ...",
}
_ARITIES = {"mapper": 2, "reducer": 3, "combiner": 3, "partitioner": 2, "setup": 1, "teardown": 1}


class Job:
    """What to compute: a mapper, and usually a reducer.

    `reducer=None` is a map-only job. A `combiner` may run any number of times, also none, so
    it must be associative; it may emit its own key only and may not count. `setup` and
    `teardown` run once an attempt. A mapper, combiner or reducer emits by `ctx.emit`, or
    returns None or an iterable of `(key, value)` pairs (a generator, for instance).

    Raises:
        WorkerFileError: an argument cannot be used; the message shows what would do.
    """

    def __init__(  # noqa: PLR0913 - keyword-only: each is a part of a job
        self,
        *,
        mapper: Mapper,
        reducer: Reducer | Builtin | None = None,
        combiner: Reducer | Builtin | None = None,
        input: InputFormat = TEXT,  # noqa: A002 - the word the user would use
        partitioner: Partitioner | None = None,
        setup: Hook | None = None,
        teardown: Hook | None = None,
    ) -> None:
        self.mapper = mapper
        self.reducer = reducer
        self.combiner = combiner
        self.input = input
        self.partitioner = partitioner
        self.setup = setup
        self.teardown = teardown
        self._check()

    def _check(self) -> None:
        if not isinstance(self.input, InputFormat):
            raise WorkerFileError(
                f"`input` is {self.input!r}, expected pymr.TEXT, pymr.LINES or pymr.WHOLE"
            )
        for role in ("mapper", "reducer", "combiner", "partitioner", "setup", "teardown"):
            value = getattr(self, role)
            if isinstance(value, Builtin) and role in ("reducer", "combiner"):
                continue
            if value is not None or role == "mapper":
                check_function(role, value)
        if self.combiner is IDENTITY:
            raise WorkerFileError(
                "`combiner` is pymr.IDENTITY, which combines nothing", hint="leave the combiner out"
            )
        if self.combiner is COUNT:
            raise WorkerFileError(
                "`combiner` is pymr.COUNT, which counts values and so cannot run twice",
                hint="use reducer=pymr.COUNT; the engine then combines by itself",
            )
        if self.reducer is None and self.combiner is not None:
            raise WorkerFileError("a map-only job (reducer=None) has nothing to combine")
        if isinstance(self.reducer, Builtin) and self.combiner is not None:
            does = "takes pairs as they are" if self.reducer is IDENTITY else "combines by itself"
            raise WorkerFileError(
                f"`reducer` is {self.reducer!r}, which {does},"
                f" together with a combiner ({self.combiner!r})",
                hint="leave the combiner out",
            )


def check_function(role: str, value: object) -> None:
    """Refuse what cannot be called as `role`, saying what was found.

    Raises:
        WorkerFileError: not a function, a class, a coroutine function, or a wrong arity.
    """
    import inspect  # 7 ms, once a process that makes a job

    example = _SIGNATURES[role]
    if inspect.isclass(value):
        problem = f"`{role}` is the class {value.__name__}, expected a function"
    elif not callable(value):
        problem = f"`{role}` is {value!r}, expected a function"
    elif inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
        problem = f"`{role}` is an async function, expected a plain one"
    else:
        try:
            inspect.signature(value).bind(*range(_ARITIES[role]))
        except TypeError:
            found = f"{getattr(value, '__name__', role)}{inspect.signature(value)}"
            problem = f"`{role}` is {found}, expected {_ARITIES[role]} arguments"
        except ValueError:  # a builtin without a signature
            return
        else:
            return
    raise WorkerFileError(problem, example=example)
