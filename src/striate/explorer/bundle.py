"""The page as one HTML file: its modules joined into one script, which runs from the disk."""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Mapping
from typing import Final

_IMPORT: Final = re.compile(r'^import \{([^}]*)\} from "(\.{1,2}/[\w./]+)";\n', re.M)
_EXPORT: Final = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.M)
_STYLE: Final = re.compile(r'<link rel="stylesheet" href="page/([\w.]+)">\n')
_SCRIPT: Final = re.compile(r'<script type="module" src="page/([\w.]+)"></script>\n')


def one_page(files: Mapping[str, str], numbers: str, page: str = "index.html") -> str:
    """A page with everything inside, and a policy by which nothing else can run or be loaded.

    A browser loads no modules from the disk, so they become functions of one script, called in
    the order of their imports.

    Args:
        files: The text of the page, its styles and the modules, by name.
        numbers: What the page shows, in base 64.
        page: The name of the page, which names the module that is run.
    """
    entry = _SCRIPT.search(files[page])
    assert entry is not None, "the page runs a module"
    script = joined(files, entry[1])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    style = "".join(files[found[1]] for found in _STYLE.finditer(files[page]))
    data = f'<script type="text/plain" id="saved">{numbers}</script>\n<script>{script}</script>\n'
    whole = _STYLE.sub("", files[page].replace(entry[0], ""))
    whole = whole.replace("</head>", f"{head}<style>\n{style}</style>\n</head>")
    return whole.replace("</body>", data + "</body>")


def joined(files: Mapping[str, str], entry: str = "main.js") -> str:
    """A module and all that it imports as one script."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for found in _IMPORT.finditer(files[name]):
                visit(_target(name, found[2]))
            order.append(name)

    visit(entry)
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
