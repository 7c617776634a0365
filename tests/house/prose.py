"""The texts that people read, with their places: docstrings, comments, messages, pages, documents."""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

SHOWN_ATTRIBUTES = ("title", "placeholder", "alt", "aria-label", "content", "value")
IMAGES = (".png", ".svg", ".gz", ".sealed", ".json")
MADE = ("docs/results/", "tests/data/", "tests/fuzz/corpus/")
"""Folders of what programs wrote, and of what is not ours."""
MADE_FOLDERS = frozenset({".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "build", "dist"})
PLACEHOLDER = "{}"
SENTENCE = re.compile(r"[A-Za-z]{2,}[,;:]? +[\"'({]?[A-Za-z{]")
"""What distinguishes a text for people from a word for machines."""
QUERY = re.compile(r"\s*(SELECT|UPDATE|INSERT|DELETE|PRAGMA|BEGIN|CREATE|ALTER|DROP) [A-Z_a-z(]")


@dataclass(frozen=True)
class Text:
    """One text and where it begins."""

    file: str
    line: int
    text: str
    kind: str
    """``docstring``, ``comment``, ``string``, ``page`` or ``document``."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def line_of(self, offset: int) -> int:
        """Return the line of a character of the text."""
        return self.line + self.text.count("\n", 0, offset)


def read_texts(top: Path) -> list[Text]:
    """Return every text in the files of a checkout that git knows."""
    found: list[Text] = []
    for name in tracked(top):
        path = top / name
        if name.startswith(MADE) or name.endswith(IMAGES) or not path.is_file():
            continue
        found += texts_of(name, path.read_text(encoding="utf-8", errors="replace"))
    return found


def tracked(top: Path) -> list[str]:
    """Return the files that git knows; where it is missing, or this is not its checkout, all that are not made."""
    if (top / ".git").exists() and shutil.which("git"):
        words = ["git", "-c", f"safe.directory={top}", "ls-files"]
        return subprocess.run(words, cwd=top, check=True, capture_output=True, text=True).stdout.splitlines()
    files = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if not MADE_FOLDERS & set(path.parent.parts))


def texts_of(name: str, content: str) -> Iterator[Text]:
    """Yield the texts of one file."""
    if name.endswith(".py") or content.startswith(("#!/usr/bin/python3", "#!/usr/bin/env python3")):
        yield from python_texts(name, content)
    elif name.endswith(".html"):
        yield from page_texts(name, content)
    elif name.endswith(".md"):
        yield from document_texts(name, content)
    elif name.endswith(".js"):
        yield from script_texts(name, content)
    elif name != "LICENSE":
        for number, line in enumerate(content.splitlines(), 1):
            yield Text(name, number, line, "document")


def python_texts(name: str, source: str) -> Iterator[Text]:
    tree = ast.parse(source)
    documents = {id(node) for node in expressions(tree)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield Text(name, node.lineno, formatted(node), "string")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield Text(name, node.lineno, node.value, "docstring" if id(node) in documents else "string")
    yield from comments(name, source)


def expressions(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield strings that are statements by themselves: docstrings, also those of fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def formatted(node: ast.JoinedStr) -> str:
    parts = [part.value if isinstance(part, ast.Constant) else shown(part) for part in node.values]
    return "".join(str(part) for part in parts)


def shown(part: ast.expr) -> str:
    """Return a placeholder for a value, with the texts that its expression may give."""
    inner = [node.value for node in ast.walk(part) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    texts = [text for text in inner if SENTENCE.search(text)]
    return "{" + "|".join(texts) + "}" if texts else PLACEHOLDER


def comments(name: str, source: str) -> Iterator[Text]:
    """Yield comments; lines that follow each other are one."""
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != last + 1:
            yield Text(name, first, "\n".join(block), "comment")
            block = []
        first = first if block else token.start[0]
        last = token.start[0]
        block.append(token.string.lstrip("# "))
    if block:
        yield Text(name, first, "\n".join(block), "comment")


class _Page(HTMLParser):
    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self.name = name
        self.found: list[Text] = []
        self._in_code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_code += tag in ("script", "style")
        for name, value in attrs:
            if value and name in SHOWN_ATTRIBUTES:
                self._add(value)

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._in_code:
            self._add(data)

    def handle_comment(self, data: str) -> None:
        self._add(data)

    def _add(self, text: str) -> None:
        lead = len(text) - len(text.lstrip())
        if re.search(r"[A-Za-z]{2}", text):
            self.found.append(Text(self.name, self.getpos()[0] + text.count("\n", 0, lead), text.strip(), "page"))


def page_texts(name: str, content: str) -> Iterator[Text]:
    """Yield what a template shows: its own words, and those in the expressions of Jinja."""
    page = _Page(name)
    page.feed(re.sub(r"\{[%{#].*?[%}#]\}", _words_of_jinja, content, flags=re.DOTALL))
    page.close()
    yield from page.found


def _words_of_jinja(found: re.Match[str]) -> str:
    breaks = "\n" * found[0].count("\n")
    if found[0].startswith("{#"):
        return found[0].replace("<", "").replace(">", "")
    words = [text for text in re.findall(r"[\"']([^\"'\n]*)[\"']", found[0]) if SENTENCE.search(text)]
    return (" ".join(words) or (PLACEHOLDER if found[0].startswith("{{") else "")) + breaks


def script_texts(name: str, content: str) -> Iterator[Text]:
    for number, line in enumerate(content.splitlines(), 1):
        for words in re.findall(r"(?:\"([^\"\n]+)\"|'([^'\n]+)'|`([^`\n]+)`|//(.*))", line):
            yield Text(name, number, "".join(words), "page")


def document_texts(name: str, content: str) -> Iterator[Text]:
    """Yield the paragraphs of a Markdown file, without code."""
    blank = re.sub(r"^```.*?^```", _breaks, content, flags=re.DOTALL | re.MULTILINE)
    blank = re.sub(r"`[^`]*`", lambda found: PLACEHOLDER + _breaks(found), blank)
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", blank):
        if paragraph.strip():
            yield Text(name, line, paragraph, "document")
        line += paragraph.count("\n")


def _breaks(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def messages(texts: list[Text]) -> list[Text]:
    """Return what users and operators see of these: messages, help, pages; sorted by place."""
    shown_kinds = ("string", "page")
    product = ("refstack_worker/", "installer/", "packaging/")
    found = [
        text
        for text in texts
        if text.file.startswith(product)
        and (text.kind in shown_kinds or is_shown_docstring(text))
        and (text.kind == "page" or SENTENCE.search(text.text))
        and not QUERY.match(text.text)
    ]
    return sorted(found, key=lambda text: (text.file, text.line))


def is_shown_docstring(text: Text) -> bool:
    """Return whether a docstring is shown: of a command or program by ``--help``, of a view by the API's reference."""
    has_reader = text.file.startswith(("refstack_worker/cli/", "refstack_worker/server/api/"))
    return text.kind == "docstring" and (has_reader or not text.file.endswith(".py"))
