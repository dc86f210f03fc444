"""The view of the command tree as completions for bash, zsh and fish.

They are static: pressing TAB starts no process but the shell's own. They are together because the three
must complete the same, each in its shell's words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..reference import Command, Option

_HEAD = "# Completions of tgmtool for {}. Written by python -m tgmtool.cli.reference; do not edit."
_ANY_FILE, _TGM, _DIRECTORY = "any", "tgm", "directory"
_PLACES = {"FILE": _ANY_FILE, "PATH": _ANY_FILE, "OUT": _ANY_FILE, "DIR": _DIRECTORY}


def _place(value: str | None) -> str | None:
    """Return what kind of file `value` stands for; None if it is no file."""
    value = value or ""
    return _TGM if value.endswith(".tgm") else _PLACES.get(value)


def _inputs(command: Command) -> str:
    """Return what kind of file the arguments of a command are."""
    return _TGM if any(name.startswith("FILE") for name, _ in command.arguments) else _ANY_FILE


def _says(text: str) -> str:
    """Return the beginning of a help text, without the default: what a menu has room for."""
    return re.sub(r" \[[^\]]*\]\.?$", "", re.split(r"(?<=[.;]) ", text)[0]).rstrip(".;").replace("`", "")


def _with_values(options: Sequence[Option]) -> list[str]:
    return [name for option in options if option.value and not option.optional for name in option.names]


# ---- bash

_BASH = """\

_tgmtool_words() { # WORDS TYPED
    local word
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$1" -- "$2")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]]; then compopt -o nospace 2>/dev/null; fi
}

_tgmtool_files() { # any|tgm|directory TYPED
    local name found=
    compopt -o filenames 2>/dev/null
    if [[ $1 == tgm ]]; then
        while IFS= read -r name; do
            COMPREPLY+=("$name")
            found=yes
        done < <(compgen -f -X '!*.tgm' -- "$2")
    fi
    if [[ $1 == directory || -n $found ]]; then
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -d -- "$2")
    else
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$2")
    fi
}

_tgmtool() {
    local typed=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} equals='' command='' files='' i
    COMPREPLY=()
    if [[ $typed == = ]]; then
        typed='' equals='='
    elif [[ $before == = && COMP_CWORD -ge 2 ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]} equals='='
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) files=yes ;;
            @globals@) ((i++)) ;;
            @commands@) [[ -n $command ]] || command=${COMP_WORDS[i]} ;;
        esac
    done
    if [[ -z $files ]]; then
        case "$command $before$equals" in
@optional@
        esac
        case "$command $before" in
@values@
        esac
        if [[ -n $equals ]]; then return; fi
        if [[ $typed == -* ]]; then
            case $command in
@options@
            esac
            return
        fi
    fi
    case $command in
        '') _tgmtool_words '@verbs@' "$typed" ;;
@inputs@
    esac
}

complete -F _tgmtool tgmtool
"""


def bash(commands: Sequence[Command]) -> str:
    """Return the completions for bash 3.2 and later; it needs no bash-completion package."""
    values, optional, options, inputs = [], [], [], []
    for command in commands:
        free = []
        for option in command.options:
            keys = [f"'{command.name} {name}'" for name in option.names]
            words = f"_tgmtool_words '{' '.join(option.values)}' \"$typed\"; return"
            if option.optional:
                optional.append(
                    f"{'|'.join(f'{key[:-1]}={chr(39)}' for key in keys if '--' in key)}) {words} ;;"
                )
            elif option.values:
                values.append(f"{'|'.join(keys)}) {words} ;;")
            elif _place(option.value):
                values.append(f'{"|".join(keys)}) _tgmtool_files {_place(option.value)} "$typed"; return ;;')
            elif option.value:
                free += keys
        if free:
            values.append(f"{'|'.join(free)}) return ;;")
        names = " ".join(name for option in command.options for name in option.names)
        options.append(f"'{command.name}') _tgmtool_words '{names}' \"$typed\" ;;")
        if command.name:
            inputs.append(f"'{command.name}') _tgmtool_files {_inputs(command)} \"$typed\" ;;")
    filled = {
        "globals": "|".join(_with_values(commands[0].options)),
        "commands": "|".join(command.name for command in commands[1:]),
        "verbs": " ".join(command.name for command in commands[1:]),
        "values": _lines(12, values),
        "optional": _lines(12, optional),
        "options": _lines(16, options),
        "inputs": _lines(8, inputs),
    }
    return _HEAD.format("bash") + "\n" + _filled(_BASH, filled)


def _lines(indent: int, lines: Sequence[str]) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _filled(template: str, filled: dict[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda found: filled[found[1]], template)


# ---- zsh

_ZSH = """\

_tgmtool() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -s -S -C \\
@own@
        '1:command:->command' \\
        '*::argument:->argument' && return
    case $state in
        command)
            local -a commands=(
@verbs@
            )
            _describe -t commands command commands ;;
        argument)
            curcontext=${curcontext%:*:*}:tgmtool-$words[1]:
            case $words[1] in
@cases@
            esac ;;
    esac
}

_tgmtool "$@"
"""
_ZSH_PLACES = {_ANY_FILE: "_files", _TGM: '_files -g "*.tgm(-.)"', _DIRECTORY: "_files -/"}


def zsh(commands: Sequence[Command]) -> str:
    """Return the completions for zsh."""
    cases = []
    for command in commands[1:]:
        rest = f"'*:file:{_ZSH_PLACES[_inputs(command)]}'"
        specs = [spec for option in command.options for spec in _zsh_specs(option)]
        cases.append(f"{command.name}) _arguments -s -S \\")
        cases += [f"    {spec} \\" for spec in [*specs, rest]]
        cases[-1] = f"{cases[-1].removesuffix(' ' + chr(92))} ;;"
    own = [f"{spec} \\" for option in commands[0].options for spec in _zsh_specs(option)]
    verbs = [f"'{command.name}:{_zsh_text(command.summary.rstrip('.'))}'" for command in commands[1:]]
    filled = {"own": _lines(8, own), "verbs": _lines(16, verbs), "cases": _lines(16, cases)}
    return "#compdef tgmtool\n" + _HEAD.format("zsh") + "\n" + _filled(_ZSH, filled)


def _zsh_specs(option: Option) -> list[str]:
    """Return one specification of `_arguments` for each name."""
    others = "*" if option.repeatable else f"({' '.join(option.names)})" if len(option.names) > 1 else ""
    says, value = f"[{_zsh_text(_says(option.help))}]", _zsh_text(option.value or "")
    values = f"({_zsh_text(' '.join(option.values))})"
    action = values if option.values else _ZSH_PLACES.get(_place(option.value) or "", " ")
    found = []
    for name in option.names:
        long = name.startswith("--")
        if option.optional and long:
            spec = f"{name}=-{says}::{value}:{action}"
        elif option.value and not option.optional:
            spec = f"{name}{'=' if long else '+'}{says}:{value}:{action}"
        else:
            spec = name + says
        found.append(f"'{others}{spec}'")
    return found


def _zsh_text(text: str) -> str:
    return re.sub(r"([\\\[\]:])", r"\\\1", text).replace("'", "'\\''")


# ---- fish

_FISH = """\

function __tgmtool_in -d 'Whether the command is one of these; without any, whether there is none yet'
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if contains -- $word @verbs@
            contains -- $word $argv
            return
        end
    end
    test (count $argv) -eq 0
end

complete -c tgmtool -f
"""
_FISH_PLACES = {
    _ANY_FILE: "-r -F",
    _TGM: "-x -k -a '(__fish_complete_suffix .tgm)'",
    _DIRECTORY: "-x -a '(__fish_complete_directories)'",
}


def fish(commands: Sequence[Command]) -> str:
    """Return the completions for fish."""
    verbs = " ".join(command.name for command in commands[1:])
    lines = [_HEAD.format("fish"), _filled(_FISH, {"verbs": verbs})]
    lines += [
        f"complete -c tgmtool -n __tgmtool_in -a {command.name} -d {_fish_text(command.summary)}"
        for command in commands[1:]
    ]
    for command in commands:
        lines.append("")
        start = f"complete -c tgmtool -n '{f'__tgmtool_in {command.name}'.rstrip()}'"
        if command.name:
            place = "-k -a '(__fish_complete_suffix .tgm)'" if _inputs(command) == _TGM else "-F"
            lines.append(f"{start} {place}")
        lines += [f"{start} {words}" for option in command.options for words in _fish_options(option)]
    return "\n".join(lines) + "\n"


def _fish_options(option: Option) -> list[str]:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    says = f"-d {_fish_text(_says(option.help))}"
    if option.optional:
        known = f"-f -a '{' '.join(option.values)}'"
        return [f"{name} {known} {says}" if name.startswith("-l") else f"{name} {says}" for name in names]
    place = _place(option.value)
    if option.values:
        names.append(f"-x -a '{' '.join(option.values)}'")
    elif place:
        names.append(_FISH_PLACES[place])
    elif option.value:
        names.append("-x")
    return [f"{' '.join(names)} {says}"]


def _fish_text(text: str) -> str:
    return "'" + text.rstrip(".").replace("\\", "\\\\").replace("'", "\\'") + "'"
