"""The `ctx` that user functions receive, one class for each place they run in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, Self

from pymr._native import Emitter

COUNTERS_MAX = 1000  # a counter is a summary, not data; each one travels in every receipt


class Position(NamedTuple):
    """Where a record comes from: a file as it was given, and a byte offset in it."""

    file: str
    offset: int


class Params(dict[str, str]):
    """The values of `--set`; that one is missing is told apart from any other missing key."""

    def __missing__(self, name: object) -> NoReturn:
        """Raise the usual error; its `param` is the name."""
        error = KeyError(name)
        error.param = name  # type: ignore[attr-defined]
        raise error


class TaskContext(Emitter):
    """What a mapper or reducer, `setup` and `teardown` see.

    `emit` is a compiled method of the class itself: it costs least so, and it is called most.
    """

    __slots__ = ("_file", "_offset", "_params", "counters")

    counters: dict[str, int]
    _params: dict[str, str]
    _file: str | None
    _offset: int

    def __new__(cls, emit: Callable[[Any, Any], None], params: dict[str, str]) -> Self:
        """`emit(key, value)` takes what is emitted."""
        self = super().__new__(cls, emit)
        self.counters = {}
        self._params = params
        self._file = None
        self._offset = 0
        return self

    def at(self, file: str | None, offset: int) -> None:
        """Say where the next record comes from; for the engine."""
        self._file = file
        self._offset = offset

    @property
    def input(self) -> Position:
        """The place of the current record.

        Raises:
            RuntimeError: there is none outside a mapper: a key has many places.
        """
        if self._file is None:
            raise RuntimeError(
                "ctx.input is the place of a mapper's record; emit it if you need it"
            )
        return Position(self._file, self._offset)

    @property
    def params(self) -> dict[str, str]:
        """A copy of the values of `--set KEY=VALUE`."""
        return Params(self._params)

    def count(self, name: str, number: int = 1) -> None:
        """Add `number` to the counter `name`.

        Raises:
            TypeError: `name` is not a str, or `number` not an int.
            ValueError: more than COUNTERS_MAX different names, or one with a lone surrogate.
        """
        if type(name) is not str or type(number) is not int:
            raise TypeError(f"a counter is a str and an int, got {name!r} and {number!r}")
        if name not in self.counters:
            self._check_new(name)
        self.counters[name] = self.counters.get(name, 0) + number

    @contextmanager
    def hook(self) -> Iterator[None]:
        """Be the `ctx` of `setup` or `teardown`, which have no record and may not emit."""
        self.at(None, 0)
        self.is_open = False
        try:
            yield
        finally:
            self.is_open = True

    def _refuse(self, _key: Any, _value: Any) -> NoReturn:
        raise RuntimeError(
            "setup and teardown run once an attempt, so what they emitted would depend on how the"
            " input was split; emit in the mapper or reducer"
        )

    def _check_new(self, name: str) -> None:
        if len(self.counters) >= COUNTERS_MAX:
            raise ValueError(
                f"counter `{name}` would be number {COUNTERS_MAX + 1}; emit it instead"
            )
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"counter {name!r} has a character that UTF-8 can not hold") from error


class CombinerContext(TaskContext):
    """What a combiner sees: it emits its own key only, and counts nothing."""

    __slots__ = ()

    def count(self, name: str, number: int = 1) -> NoReturn:
        """Refuse: a combiner runs any number of times, so what it counts means nothing."""
        raise RuntimeError("a combiner may not count: it runs any number of times, also none")
