"""The command line: parsing and printing only. Each command is imported when it is called.

stdout carries results or JSON; stderr carries everything for people.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from pymr.cli.failure import fail, unforeseen_error, usage_error

if TYPE_CHECKING:
    from pymr.api import Job

# Command → module in this package (each defines `command`) and the line that help shows.
COMMANDS = {
    "init": ("init", "Write a worker file that runs."),
    "start": ("start", "Run a job."),
    "resume": ("resume", "Go on with a run that stopped."),
    "replay": ("replay", "Try records again that were left out."),
    "attach": ("attach", "Follow a run that was started elsewhere."),
    "status": ("status", "Show how far a run is, and who works on it."),
    "cancel": ("cancel", "Stop a run, and give up what it has kept."),
    "up": ("up", "Have storage in a namespace of Kubernetes."),
    "down": ("down", "Remove what is ours from a namespace."),
    "store": ("store", "Print how other clients reach that storage."),
    "render": ("render", "Print all objects of a run on Kubernetes."),
    "gc": ("gc", "Remove what runs have left that nobody needs."),
    "master": ("master", "Be the master of a run on other machines."),
    "worker": ("worker", "Run tasks for a master on another machine."),
    "build": ("build", "Build the images of a run on Kubernetes."),
    "plan": ("plan", "Show what start would do, and do nothing."),
    "check": ("check", "Try a job on a sample of its input."),
    "head": ("rows", "Show the first rows of a result."),
    "cat": ("rows", "Write all rows of a result."),
    "cp": ("copy", "Copy the parts of a result into a folder."),
    "verify": ("verify", "Check every byte of a result against its manifest."),
    "audit": ("audit", "Print the books of a run."),
    "jobs": ("jobs", "List runs, newest first."),
    "show": ("show", "Show what happened in a run."),
    "logs": ("logs", "Show what the job's own code has printed."),
    "errors": ("show", "Show what failed in a run."),
    "doctor": ("doctor", "Look for what stands in the way of a run here."),
    "debug": ("debug", "Call user code with the record that failed, here."),
    "config": ("config", "Show every setting and where it comes from."),
    "completion": ("completion", "Print the shell's completion script."),
    "version": ("version", "Print versions."),
}
ALIASES = {"run": "start"}
COMPLETE = "_PYMR_COMPLETE"  # set by the script of `pymr completion`
EXIT_BROKEN_PIPE = 0  # `pymr cat … | head` is no failure
EXIT_INTERRUPTED = 130


class _Commands(click.Group):
    """Commands by name, imported when asked for, with a hint for a mistyped one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"pymr.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, f"{name}_command", None) or module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and args[0] not in ALIASES:
            raise click.UsageError(f"no such command: `{args[0]}`{_nearest(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, [*COMMANDS, *ALIASES], 1)
    return f", did you mean `{near[0]}`?" if near else ""


def _print_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from pymr.cli.version import version_lines

        click.echo("\n".join(version_lines()))
        context.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    epilog="First steps:  pymr init worker.py;  pymr start --input FILE worker.py",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print versions and exit.",
)
@click.pass_context
def group(ctx: click.Context) -> None:
    """Run MapReduce jobs written in one Python file."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; the entry point of `pymr`."""
    sys.exit(run_command(group, sys.argv[1:] if arguments is None else arguments))


def run_file(job: Job) -> None:
    """Run the file that holds `job`, as `pymr start FILE` would, and exit."""
    from pymr.cli.start import start_command

    main_file = getattr(sys.modules["__main__"], "__file__", None)
    if main_file is None:
        raise SystemExit(f"pymr.main({job!r}) is for a file; here call pymr.run(job, input=…)")
    name = f"python {shlex.quote(sys.argv[0])}"
    sys.exit(run_command(start_command, [*sys.argv[1:], "--", main_file], name=name))


def run_command(command: click.Command, arguments: list[str], name: str = "pymr") -> int:
    """Run `command` and return its exit code; errors are printed as people read them."""
    sys.set_int_max_str_digits(0)  # an int of 5,000 digits is data, not an attack
    _open_standard_streams()
    try:
        _check_folder()
        result = _call(command, arguments, name)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the last border
        called = f"{name} {arguments[0]}" if arguments and arguments[0] in COMMANDS else name
        return _exit_code_of(error, called)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0


def _call(command: click.Command, arguments: list[str], name: str) -> Any:
    """Call `command`; of click's `main` the answer to a broken pipe, exit 1, is not wanted."""
    if COMPLETE in os.environ:  # The shell asks; click answers and exits.
        command.main(arguments, prog_name=name, complete_var=COMPLETE)
    with command.make_context(name, [*arguments]) as context:
        return command.invoke(context)


def _open_standard_streams() -> None:
    """Let `/dev/null` stand for closed streams: the next file would have their number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _check_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        from pymr.errors import ConfigError

        raise ConfigError(
            f"the current folder cannot be used: {error.strerror}", hint="cd to another folder"
        ) from error


def _exit_code_of(error: Exception, called: str) -> int:
    """Print an error that ended the command `called` and return the exit code."""
    from pymr.errors import PymrError

    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort():
            return EXIT_INTERRUPTED
        case click.UsageError():
            return usage_error(error, called)
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the flush at exit must not fail too
            return EXIT_BROKEN_PIPE
        case PymrError():
            return fail(error)
        case _:
            return fail(unforeseen_error(error))
