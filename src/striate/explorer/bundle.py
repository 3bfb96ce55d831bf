"""The page as one HTML file: its modules joined into one script, which runs from the disk."""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Mapping
from typing import Final

ENTRY: Final = "main.js"

_IMPORT: Final = re.compile(r'^import \{([^}]*)\} from "(\.{1,2}/[\w./]+)";\n', re.M)
_EXPORT: Final = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.M)
_STYLE: Final = '<link rel="stylesheet" href="page/style.css">'
_SCRIPT: Final = '<script type="module" src="page/main.js"></script>'


def one_page(files: Mapping[str, str], numbers: str) -> str:
    """The page with everything inside, and a policy by which nothing else can run or be loaded.

    A browser loads no modules from the disk, so they become functions of one script, called in
    the order of their imports.

    Args:
        files: The text of `index.html`, `style.css` and the modules, by name.
        numbers: What the page shows, in base 64.
    """
    script = joined(files)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    style = f"<style>\n{files['style.css']}</style>"
    data = f'<script type="text/plain" id="saved">{numbers}</script>\n<script>{script}</script>\n'
    page = files["index.html"].replace(_SCRIPT + "\n", "").replace(_STYLE, head + style)
    return page.replace("</body>", data + "</body>")


def joined(files: Mapping[str, str]) -> str:
    """The modules as one script."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for found in _IMPORT.finditer(files[name]):
                visit(_target(name, found[2]))
            order.append(name)

    visit(ENTRY)
    parts = "".join(_module(name, files[name]) for name in order)
    return f"(async () => {{\nconst modules = {{}};\n{parts}}})();\n"


def _target(name: str, relative: str) -> str:
    """The path of a module that another one imports."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), relative))


def _module(name: str, text: str) -> str:
    """One module as a function whose result holds what it exports."""
    exported = [found[2] for found in _EXPORT.finditer(text)]

    def taken(found: re.Match[str]) -> str:
        return f'const {{{found[1]}}} = modules["{_target(name, found[2])}"];\n'

    body = _EXPORT.sub(r"\1", _IMPORT.sub(taken, text))
    result = f"return {{ {', '.join(exported)} }};"
    return f'modules["{name}"] = await (async () => {{\n{body}{result}\n}})();\n'
