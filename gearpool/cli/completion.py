"""`gearpool completion SHELL`: prints a script with which a shell completes gearpool's command line. Floor 5.

There is no table of options here: the script is generated from the parsers of the commands, so it cannot differ from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from gearpool import exit_codes

HELP = "Print a completion script for bash, zsh or fish."
EXAMPLES = """examples:
  source <(gearpool completion bash)                                    # in ~/.bashrc
  source <(gearpool completion zsh)                                     # in ~/.zshrc, after compinit
  gearpool completion fish > ~/.config/fish/completions/gearpool.fish
"""

_FILES = ("FILE", "PATH")
"""Metavars of arguments that are paths of files."""


@dataclass
class Slot:
    """A value on the command line: an option's, or what stands in one place among the words without a dash."""

    name: str
    choices: tuple[str, ...] = ()
    file: bool = False
    repeated: bool = False


@dataclass
class Option:
    """An option by all its names. ``value`` None: it takes none; ``optional``: it may go without."""

    names: tuple[str, ...]
    help: str
    value: Slot | None
    optional: bool
    repeated: bool


@dataclass
class Command:
    """One command, or a command's own: ``words`` are what it is called by, none for the daemon itself."""

    words: tuple[str, ...]
    help: str
    options: list[Option] = field(default_factory=list)
    places: list[Slot] = field(default_factory=list)
    below: list[Command] = field(default_factory=list)

    def all(self) -> Iterator[Command]:
        """It and those below."""
        yield self
        for each in self.below:
            yield from each.all()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=sorted(SHELLS), help="the shell")


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    print(SHELLS[arguments.shell](describe()), end="")
    return exit_codes.OK


def describe() -> Command:
    """The whole command line."""
    # The dispatcher imports this module when it is asked for the command: not the other way round.
    from gearpool.cli.main import COMMANDS, build

    whole = _command((), "", build("daemon")[0])
    whole.below = [_command((name,), text, build(name)[0]) for name, text in COMMANDS.items()]
    return whole


def _command(words: tuple[str, ...], text: str, parser: argparse.ArgumentParser) -> Command:
    command = Command(words, text)
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = {each.dest: each.help or "" for each in action._choices_actions}
            for name, below in action.choices.items():
                command.below.append(_command((*words, name), texts.get(name, ""), below))
        elif action.option_strings:
            value = None if action.nargs == 0 else _slot(action)
            help_ = formatter._expand_help(action) if action.help else ""
            repeated = isinstance(action, argparse._AppendAction)
            command.options.append(Option(tuple(action.option_strings), help_, value, action.nargs == "?", repeated))
        else:
            command.places.append(_slot(action))
    return command


def _slot(action: argparse.Action) -> Slot:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    choices = tuple(str(each) for each in action.choices or ())
    return Slot(name, choices, name in _FILES or name == "file", action.nargs in ("*", "+"))


# bash: one function lists what may follow each command, the other finds where the cursor is.

_BASH = r"""
_gearpool() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} first=1 place=0 path="" word i
    local options valued files below choices places
    # bash takes --option=value for three words.
    [[ $cur == "=" ]] && cur=""
    [[ $prev == "=" ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
    while ((first < COMP_CWORD)) && _gearpool_is_command "$path${path:+ }${COMP_WORDS[first]}"; do
        path+=${path:+ }${COMP_WORDS[first++]}
    done
    _gearpool_about "$path"
    for ((i = first; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $valued == *" $word "* ]]; then
            [[ ${COMP_WORDS[i+1]} == "=" ]] && ((i++))
            ((i++))
        elif [[ $word != -* ]]; then
            ((place++))
        fi
    done
    COMPREPLY=()
    if [[ $valued == *" $prev "* ]]; then
        if [[ $files == *" $prev "* ]]; then
            choices="<file>"
        else
            _gearpool_choices "$path $prev"
        fi
    elif [[ $cur == -* ]]; then
        choices=$options
    elif ((COMP_CWORD == first)) && [[ $below != "  " ]]; then
        choices=$below
    else
        ((place < ${#places[@]} || ${#places[@]} == 0)) || place=$((${#places[@]} - 1))
        choices=${places[place]}
    fi
    if [[ $choices == "<file>" ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
    fi
}

complete -F _gearpool gearpool
"""


def bash(whole: Command) -> str:
    """The script for bash, 4.0 and later; it needs nothing else."""
    paths = [" ".join(command.words) for command in whole.all() if command.words]
    lines = [
        "# gearpool's completion for bash, made by: gearpool completion bash", "",
        "_gearpool_is_command() {", "    case $1 in", f"    {'|'.join(map(quote, paths))}) return 0 ;;", "    esac",
        "    return 1", "}", "",
        "_gearpool_about() {", "    case $1 in",
    ]  # fmt: skip
    chosen: list[str] = []
    for command in whole.all():
        path = " ".join(command.words)
        names = [name for option in command.options for name in option.names]
        # An option with an optional value is treated as one without: the next word may be either.
        with_value = [option for option in command.options if option.value is not None and not option.optional]
        valued = [name for option in with_value for name in option.names]
        files = [name for option in with_value if option.value and option.value.file for name in option.names]
        places = ["<file>" if slot.file else " ".join(slot.choices) for slot in command.places]
        if places and not command.places[-1].repeated:
            places.append("")
        below = [each.words[-1] for each in command.below]
        lines += [
            f"    {quote(path)})",
            f"        options={_words(names)}",
            f"        valued={_words(valued)}",
            f"        files={_words(files)}",
            f"        below={_words(below)}",
            f"        places=({' '.join(map(quote, places))})",
            "        ;;",
        ]
        for option in with_value:
            if option.value and option.value.choices:
                pattern = "|".join(quote(f"{path} {name}") for name in option.names)
                chosen.append(f"    {pattern}) choices={quote(' '.join(option.value.choices))} ;;")
    lines += ["    esac", "}", "", "_gearpool_choices() {", "    choices=", "    case $1 in", *chosen, "    esac", "}"]
    return "\n".join(lines) + "\n" + _BASH


def _words(words: list[str]) -> str:
    """As one word of the shell, with blanks around each."""
    return quote(f" {' '.join(words)} ")


# zsh: its _arguments finds the position; one function per command.


def zsh(whole: Command) -> str:
    """The script for zsh: to be sourced after compinit, or put into the fpath as _gearpool."""
    lines = ["#compdef gearpool", "# gearpool's completion for zsh, made by: gearpool completion zsh", ""]
    for command in whole.all():
        lines += [f"{_function(command)}() {{", *_zsh_body(command), "}", ""]
    lines.append(
        'if [[ $funcstack[1] == _gearpool ]]; then\n    _gearpool "$@"\nelse\n    compdef _gearpool gearpool\nfi'
    )
    return "\n".join(lines) + "\n"


def _zsh_body(command: Command) -> Iterator[str]:
    if command.below:
        # Its name, or what it is called by, is the first of the words here.
        yield "    local -a below=("
        for each in command.below:
            yield f"        {quote(f'{each.words[-1]}:{each.help}')}"
        yield "    )"
        yield "    if ((CURRENT > 2)); then"
        yield "        case $words[2] in"
        for each in command.below:
            yield f"        {quote(each.words[-1])}) shift words; ((CURRENT--)); {_function(each)}; return ;;"
        yield "        esac"
        yield "    elif [[ $words[2] != -* ]]; then"
        yield "        _describe -t commands command below"
        yield "        return"
        yield "    fi"
    yield "    _arguments -s -S \\"
    for option in command.options:
        yield f"        {_zsh_option(option)} \\"
    for slot in command.places:
        yield f"        {quote(('*' if slot.repeated else '') + _zsh_value(slot))} \\"
    yield "        && return 0"


def _zsh_option(option: Option) -> str:
    value = ""
    if option.value is not None:
        value = (":" if option.optional else "") + _zsh_value(option.value)
    text = f"[{_escaped(option.help, '[]:')}]{value}"
    exclusive = "*" if option.repeated else f"({' '.join(option.names)})"
    names = option.names if option.value is None else tuple(f"{each}{_joint(each)}" for each in option.names)
    return " ".join(quote(f"{exclusive}{name}{text}") for name in names)


def _joint(name: str) -> str:
    """How a value may follow: ``--option=value`` or ``-ovalue``, or as a word of its own."""
    return "=" if name.startswith("--") else "+"


def _zsh_value(slot: Slot) -> str:
    # No choices: (), and not a blank, with which zsh would complete nothing else either.
    action = "_files" if slot.file else f"({' '.join(slot.choices)})"
    return f":{_escaped(slot.name, ':')}:{action}"


def _escaped(text: str, characters: str) -> str:
    return "".join(f"\\{each}" if each in characters else each for each in text)


def _function(command: Command) -> str:
    return "_".join(["_gearpool", *(word.replace("-", "_") for word in command.words)])


# fish: a line for each thing that may follow, with the condition under which it may.

_FISH = """
function __gearpool_at --description 'whether the command line has reached this command and no further one'
    set -l words (commandline -opc)
    set -l depth (count $argv)
    test (count $words) -gt $depth; or return 1
    for i in (seq $depth)
        set -l at (math $i + 1)
        test "$words[$at]" = "$argv[$i]"; or return 1
    end
end

function __gearpool_first --description 'whether nothing has followed this command yet'
    test (count (commandline -opc)) -eq (math (count $argv) + 1); and __gearpool_at $argv
end

complete -c gearpool -f
"""


def fish(whole: Command) -> str:
    """The script for fish."""
    lines = ["# gearpool's completion for fish, made by: gearpool completion fish"]
    lines += _FISH.splitlines()
    for command in whole.all():
        at = " ".join(("__gearpool_at", *command.words))
        first = " ".join(("__gearpool_first", *command.words))
        for each in command.below:
            lines.append(_fish_line(first, f"-a {each.words[-1]} -d {_fish_quoted(each.help)}"))
        if command.below:
            # Whatever follows belongs to those.
            names = " ".join(each.words[-1] for each in command.below)
            at += f"; and not __fish_seen_subcommand_from {names}"
        for option in command.options:
            lines.append(_fish_line(at, _fish_option(option)))
        for number, slot in enumerate(command.places):
            if slot.choices:
                lines.append(_fish_line(first if number == 0 else at, f"-a {_fish_quoted(' '.join(slot.choices))}"))
            elif slot.file:
                lines.append(_fish_line(at, "-F"))
    return "\n".join(lines) + "\n"


def _fish_line(condition: str, what: str) -> str:
    return f"complete -c gearpool -n {_fish_quoted(condition)} {what}"


def _fish_option(option: Option) -> str:
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    slot = option.value
    if slot is not None and not option.optional:
        words.append("-r -F" if slot.file else "-x")
        if slot.choices:
            words.append(f"-a {_fish_quoted(' '.join(slot.choices))}")
    return " ".join([*words, f"-d {_fish_quoted(option.help)}"])


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[Command], Any]] = {"bash": bash, "zsh": zsh, "fish": fish}
