"""`pymr completion`: the script that teaches a shell the commands and flags."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    For bash:  pymr completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    from pymr.cli import COMPLETE, group

    completion = get_completion_class(shell)
    assert completion is not None, f"click completes {shell}"
    click.echo(completion(group, {}, "pymr", COMPLETE).source())
