"""Loads the user's job in a task process, and says in words what is wrong with it.

User code is imported here and nowhere else. A worker file is loaded under its own module name,
or a private one where that is taken, so that one called `json.py` shadows nothing, and
`if __name__ == "__main__"` does not run; the modules beside it win over installed packages,
and the standard library over them.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from pymr.api import Builtin, Job
from pymr.core.spec import Code, Shape
from pymr.errors import IntegrityError, PymrError, WorkerFileError
from pymr.task.blame import message_of, user_frames
from pymr.task.bundled_import import as_submitted, load_as_submitted
from pymr.task.declared import check_packages
from pymr.task.source_files import digest_of, find_source_files, not_python
from pymr.text_form import install_line

MODULE_NAME = "__pymr_worker__"
IN_POD = "KUBERNETES_SERVICE_HOST"  # a variable that all containers of a cluster have

EXAMPLE = """\
import pymr

def mapper(ctx, chunk):
    for word in chunk.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values):
    ctx.emit(key, sum(values))

job = pymr.Job(mapper=mapper, reducer=reducer)"""


_is_loading = False  # code of the user


def load_job(code: Code) -> tuple[Job, Shape]:
    """Load the user's functions and describe them.

    Raises:
        WorkerFileError: the code cannot be used.
        IntegrityError: a pickle whose checksum is not the one this run recorded.
    """
    global _is_loading  # noqa: PLW0603 - of the process, as what is imported is
    _is_loading = True
    try:
        return _load(code)
    except WorkerFileError as error:
        if code.bundle is None:
            raise
        raise _told_from_afar(error, code) from error
    finally:
        _is_loading = False


def refuse_while_loading(call: str) -> None:
    """Refuse a call that starts task processes where one of them is what makes it: by an import.

    Each would make another, without end. In a mapper it is a job within a job.

    Raises:
        WorkerFileError: the user's code is being loaded by this process.
    """
    if _is_loading:
        raise WorkerFileError(
            f"{call} is called as the file is imported, and every task process imports it",
            hint='put the call under   if __name__ == "__main__":',
        )


def _load(code: Code) -> tuple[Job, Shape]:
    sys.path.extend(path for path in code.sys_path if path not in sys.path)
    if code.path is None:
        return _load_pickle(code)
    path = Path(code.path)
    if code.folder is not None:
        path = Path(code.folder, path.name)
        load_as_submitted(code.folder, os.path.dirname(code.path))
    files = find_source_files(path)
    check_packages(path)
    warnings = _shadow_warnings(files)
    job = _job_of(_execute(path), path)
    return job, shape_of(
        job,
        digest=digest_of(files, path.parent),
        files=tuple(file.relative_to(path.parent).as_posix() for file in files),
        warnings=warnings,
    )


def shape_of(
    job: Job, *, digest: str, files: tuple[str, ...] = (), warnings: tuple[str, ...] = ()
) -> Shape:
    """Return what a runner needs to know of a job without importing it."""
    return Shape(
        input_format=job.input.value,
        reducer=_kind(job.reducer),
        combiner=_kind(job.combiner),
        partitioner=_kind(job.partitioner),
        digest=digest,
        files=files,
        warnings=warnings,
    )


def _kind(function: object) -> str | None:
    if isinstance(function, Builtin):
        return function.value
    return None if function is None else "function"


def _load_pickle(code: Code) -> tuple[Job, Shape]:
    body = code.pickle or b""
    digest = hashlib.sha256(body).hexdigest()
    if digest != code.digest:
        raise IntegrityError(
            f"the job's pickle has digest `{digest}`, expected `{code.digest}`; not loaded"
        )
    import pickle

    sys.path.append(os.getcwd())  # last, so that nothing in it stands in for another module
    try:
        job: Job = pickle.loads(body)
    except BaseException as error:
        raise _import_error("the job", error) from error
    return job, shape_of(job, digest=digest)


def _execute(path: Path) -> ModuleType:
    """Run the worker file as a module of its own and return it."""
    _add_folder(str(path.parent.resolve()))
    name = _module_name(path)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    sys.argv = [str(path)]
    try:
        program: CodeType = compile(
            path.read_bytes(), as_submitted(str(path)), "exec", dont_inherit=True
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise not_python(path, error) from error
    try:
        exec(program, module.__dict__)  # noqa: S102 - running the user's file is the purpose
    except BaseException as error:
        raise _import_error(f"`{path}`", error) from error
    return module


def _told_from_afar(error: WorkerFileError, code: Code) -> WorkerFileError:
    """Return `error` with the name of this host, and with those that files had elsewhere."""
    host = os.uname().nodename
    message = error.message
    if code.folder is not None and code.path is not None:
        message = message.replace(code.folder, os.path.dirname(code.path))
    hint, missing = error.hint, error.fields.get("missing")
    if missing and IN_POD in os.environ:  # Nothing can be installed there.
        hint = (
            f"--requirements FILE   with {', '.join(missing)} in it, or `# /// script` in the"
            " worker file, puts that into the image of workers"
        )
    return WorkerFileError(
        f"on host `{host}`: {message}", hint=hint, **{**error.fields, "host": host}
    )


def _module_name(path: Path) -> str:
    """Return the name by which `import` would find this very file, or a private one.

    Processes that user code starts itself (multiprocessing, a job inside a mapper) find its
    functions by that name.
    """
    from importlib.machinery import PathFinder

    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names or not name.isidentifier():
        return MODULE_NAME
    found = PathFinder.find_spec(name)
    is_same = found is not None and found.origin and os.path.samefile(found.origin, path)
    return name if is_same else MODULE_NAME


def _add_folder(folder: str) -> None:
    """Put the worker's folder before installed packages and after the standard library."""
    if folder in sys.path:
        return
    places = [i for i, path in enumerate(sys.path) if "-packages" in path]
    sys.path.insert(places[0] if places else len(sys.path), folder)


def _import_error(what: str, error: BaseException) -> PymrError:
    frames = user_frames(error.__traceback__)
    if isinstance(error, PymrError):
        error.fields.setdefault("frames", frames[-1:])
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        return WorkerFileError(
            f"{what} cannot be imported: no module named `{error.name}`",
            hint=f"{install_line(package)}   (see its requirements.txt, if any)",
            missing=[package],
            frames=frames,
        )
    if isinstance(error, SyntaxError) and error.filename:
        return not_python(Path(error.filename), error)
    name, text = type(error).__name__, message_of(error)
    return WorkerFileError(
        f"{what} cannot be imported: {name}{': ' if text else ''}{text}",
        error_type=name,
        error_text=text,
        frames=frames,
    )


def _job_of(module: ModuleType, path: Path) -> Job:
    job = module.__dict__.get("job")
    if isinstance(job, Job):
        return job
    found = _describe(module)
    problem = "no `job` in it" if job is None else f"`job` is {_what(job)}, expected a pymr.Job"
    named = [name for name, value in vars(module).items() if isinstance(value, Job)]
    raise WorkerFileError(
        f"`{path}`: {problem}; found {', '.join(found) if found else 'nothing'}",
        hint=f"name it `job`: job = {named[0]}" if named else None,
        **({} if named else {"example": EXAMPLE}),
    )


def _what(value: object) -> str:
    if isinstance(value, (type, FunctionType)):
        return f"the {'class' if isinstance(value, type) else 'function'} `{value.__name__}`"
    return f"{value!r:.80}"


def _describe(module: ModuleType) -> list[str]:
    """Return what a worker file defines, in words, at most eight of them."""
    words = []
    for name, value in vars(module).items():
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        if isinstance(value, Job):
            words.append(f"a Job named `{name}`")
        elif isinstance(value, type):
            words.append(f"class `{name}`")
        elif callable(value):
            words.append(f"{'async ' if _is_async(value) else ''}function `{name}`")
    return words[:8]


def _is_async(value: Any) -> bool:
    import inspect

    return inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)


def _shadow_warnings(files: list[Path]) -> tuple[str, ...]:
    return tuple(
        f"`{file.name}` has the name of a module of the standard library; it is"
        f" {'loaded under another name, and' if file is files[0] else 'not used:'}"
        f" `import {file.stem}` means the standard library's"
        for file in files
        if file.stem in sys.stdlib_module_names and file.parent == files[0].parent
    )
