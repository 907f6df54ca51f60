"""Completion of commands and options in shells: a script for each, made of the parser."""

import argparse
from collections.abc import Callable
from typing import Final


def _commands(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """The options of each command, and those of none under an empty name."""
    found = {"": _options(parser)}
    for action in parser._actions:  # argparse has no other way to them
        if isinstance(action, argparse._SubParsersAction):
            found.update({name: _options(command) for name, command in action.choices.items()})
    return found


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return sorted(
        option for action in parser._actions for option in action.option_strings if option.startswith("--")
    )


def _bash(commands: dict[str, list[str]]) -> str:
    cases = "\n".join(
        f'    {name}) words="{" ".join(options)}" ;;' for name, options in commands.items() if name
    )
    first = " ".join([*(name for name in commands if name), *commands[""]])
    return f"""\
_tapegrad() {{
  local words="" here="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{first}" -- "$here"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  if [[ "$here" == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$here"))
  else
    COMPREPLY=($(compgen -f -- "$here"))
  fi
}}
complete -o filenames -F _tapegrad tapegrad
"""


def _zsh(commands: dict[str, list[str]]) -> str:
    return f"autoload -U +X bashcompinit && bashcompinit\n{_bash(commands)}"


def _fish(commands: dict[str, list[str]]) -> str:
    lines = [f"complete -c tapegrad -n __fish_use_subcommand -a {name} -f" for name in commands if name]
    for name, options in commands.items():
        where = f"'__fish_seen_subcommand_from {name}'" if name else "__fish_use_subcommand"
        lines += [f"complete -c tapegrad -n {where} -l {option.removeprefix('--')}" for option in options]
    return "\n".join(lines) + "\n"


SHELLS: Final[dict[str, Callable[[dict[str, list[str]]], str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that teaches a shell the commands and options."""
    return SHELLS[shell](_commands(parser))
