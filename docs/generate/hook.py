"""Adds the generated pages to the site. `mkdocs.yml` names this file as a hook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command_line import command_line_page  # mkdocs finds the files beside a hook
from http_api import http_api_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]

# Documents beside the README; their links begin at the root of the repository.
DOCUMENTS = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that have no file in `docs/`."""
    pages = {
        page: (ROOT / document).read_text("utf-8").replace("](docs/", "](")
        for page, document in DOCUMENTS.items()
    }
    pages["command-line.md"] = command_line_page()
    pages["http-api.md"] = http_api_page()
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_post_template(output_content: str, **_: Any) -> str:
    """Mend the pages without a Markdown file, such as the one for 404."""
    return _named(output_content)


def on_post_page(output: str, **_: Any) -> str:
    """Mend what the theme leaves out."""
    return _named(output)


def _named(html: str) -> str:
    # A screen reader says what the dialog is for. The theme (9.8) gives it no name.
    search = 'data-md-component="search" role="dialog"'
    return html.replace(search, f'{search} aria-label="Search"')


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links to the documents beside the README into links to their pages."""
    for page, document in DOCUMENTS.items():
        markdown = markdown.replace(f"](../{document}", f"]({page}")
    return markdown
