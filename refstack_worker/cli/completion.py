"""Completion scripts for bash, zsh and fish, made from the commands' own parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping

_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)\. ")
Commands = Mapping[str, argparse.ArgumentParser]
"""Words of a command to its parser; the empty words are a program without commands."""


def bash(name: str, commands: Commands) -> str:
    """Return a completion for bash: the words of the commands, then the options of the command that was typed."""
    function = "_" + name.replace("-", "_")
    cases = [
        f'        "{words}"*) options="{" ".join(option for option, _help in options_of(parser))}" ;;'
        for words, parser in sorted(commands.items(), key=lambda item: -len(item[0]))
    ]
    second = [
        f'        {word}) [ "$COMP_CWORD" = 2 ] && words="{" ".join(followers)}" ;;'
        for word, followers in _followers(commands)
    ]
    seconds = "\n".join(["    case ${COMP_WORDS[1]} in", *second, "    esac"]) if second else ""
    return f"""# bash completion for {name}
{function}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} words="" options="" line="${{COMP_WORDS[*]:1}}"
    [ "$COMP_CWORD" = 1 ] && words="{" ".join(_firsts(commands))}"
{seconds}
    case $line in
{chr(10).join(cases)}
    esac
    case $current in
        -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current") ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
           [ ${{#COMPREPLY[@]}} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}}
complete -F {function} {name}
"""


def zsh(name: str, commands: Commands) -> str:
    """Return a completion for zsh."""
    function = "_" + name.replace("-", "_")
    second = [
        f"        {word}) (( CURRENT == 3 )) && candidates=({' '.join(followers)}) ;;"
        for word, followers in _followers(commands)
    ]
    cases = [
        f'        "{words}"*) options=({" ".join(_zsh_option(*each) for each in options_of(parser))}) ;;'
        for words, parser in sorted(commands.items(), key=lambda item: -len(item[0]))
    ]
    seconds = "\n".join(["    case ${words[2]} in", *second, "    esac"]) if second else ""
    return f"""#compdef {name}
{function}() {{
    local line="${{words[2,-1]}}"
    local -a candidates options
    (( CURRENT == 2 )) && candidates=({" ".join(_firsts(commands))})
{seconds}
    case $line in
{chr(10).join(cases)}
    esac
    if [[ ${{words[CURRENT]}} == -* ]]; then
        _describe option options
    elif (( $#candidates )); then
        compadd -a candidates
    else
        _files
    fi
}}
# autoloaded as a function, or sourced
if [[ ${{funcstack[1]}} == {function} || ${{funcstack[1]}} == _{name} ]]; then
    {function} "$@"
else
    compdef {function} {name}
fi
"""


def fish(name: str, commands: Commands) -> str:
    """Return a completion for fish."""
    lines = [f"# fish completion for {name}"]
    if len(commands) > 1 or "" not in commands:
        lines.append(f"complete -c {name} -n __fish_use_subcommand -f -a '{' '.join(_firsts(commands))}'")
    for word, followers in _followers(commands):
        condition = f"__fish_seen_subcommand_from {word}; and not __fish_seen_subcommand_from {' '.join(followers)}"
        lines.append(f"complete -c {name} -n '{condition}' -f -a '{' '.join(followers)}'")
    for words, parser in sorted(commands.items()):
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words.split())
        where = f" -n '{seen}'" if seen else ""
        for option, about in options_of(parser):
            lines.append(f"complete -c {name}{where} -l {option[2:]} -d '{_quoted(about)}'")
    return "\n".join(lines) + "\n"


SHELLS: Mapping[str, Callable[[str, Commands], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield the long options of a parser, each with the first sentence of its help."""
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        about = _SENTENCE_END.split(" ".join((action.help or "").replace("%%", "%").split()))[0]
        yield from ((option, about) for option in action.option_strings if option.startswith("--"))


def _firsts(commands: Commands) -> list[str]:
    firsts = {words.split()[0] for words in commands if words}
    return sorted(firsts | ({"help"} if firsts else set()))


def _followers(commands: Commands) -> Iterator[tuple[str, list[str]]]:
    """Yield each first word with the words that can follow it."""
    for word in sorted({words.split()[0] for words in commands if " " in words}):
        yield word, sorted(words.split()[1] for words in commands if words.startswith(f"{word} "))


def _zsh_option(option: str, about: str) -> str:
    text = about.replace(":", r"\:")
    return f"'{option}:{_quoted(text, zsh_style=True)}'"


def _quoted(text: str, zsh_style: bool = False) -> str:
    return text.replace("'", "'\\''") if zsh_style else text.replace("\\", "\\\\").replace("'", "\\'")
