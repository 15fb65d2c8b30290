"""`pymr init`: a worker file that runs."""

from __future__ import annotations

from pathlib import Path

import click

from pymr.errors import OutputError

TEMPLATE = '''\
"""Count words. Run it:  pymr start --input FILE {name}"""

import pymr


def mapper(ctx: pymr.Context, chunk: str) -> None:
    """Called with whole lines of text, about 64 KiB at a time."""
    for word in chunk.split():
        ctx.emit(word, 1)


def reducer(ctx: pymr.Context, key: str, values: pymr.Values[int]) -> None:
    """Called once for each key, with its values in input order."""
    ctx.emit(key, sum(values))


job = pymr.Job(mapper=mapper, reducer=reducer, combiner=pymr.SUM)

if __name__ == "__main__":
    pymr.main(job)
'''


@click.command("init")
@click.argument("path", default="worker.py", metavar="[FILE]")
def command(path: str) -> None:
    """Write a worker file that counts words; change it to what you need."""
    target = Path(path)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=path))
    except FileExistsError as error:
        raise OutputError(
            f"`{path}` exists; nothing was written", hint="pymr init NAME.py"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write `{path}`: {error.strerror}") from error
    click.echo(f"wrote {path}; next: pymr start --input FILE {path}", err=True)
