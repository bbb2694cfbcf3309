"""The wheel: it builds, and works when it is installed without the sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes, policy
from email.message import Message
from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread
from tests.support.environment import PROXIES

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/iottly/iottly-async"

USE = """
import asyncio, iottly_async
from iottly_async import Config, IottlySession
from iottly_async.emulator import Emulator
async def main():
    async with Emulator(devices=1, messages=50) as emulator:
        config = Config(base_url=emulator.base_url)
        async with IottlySession(emulator.api_key, config=config) as session:
            walk = session.project(emulator.project_id).messages.walk(emulator.device_ids[0])
            print(len([message async for message in walk]), iottly_async.__file__)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel: the one that IOTTLY_WHEEL names, or one built by pip."""
    if named := os.environ.get("IOTTLY_WHEEL"):
        return Path(named)
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    command = [*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, env={**os.environ, **PROXIES})
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """It has every file of the package and `py.typed`, and no tests or benchmarks."""
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "iottly_async").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package <= names
    assert "iottly_async/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"iottly_async"}


def test_the_index_page_has_no_relative_link(wheel: Path) -> None:
    """Links and images of the README lead to files of the repository."""
    metadata = _metadata(wheel)
    description = metadata.get_payload()
    assert isinstance(description, str)
    targets = re.findall(r"\]\(([^)]*)\)", description)
    assert len(targets) > 5
    for target in targets:
        assert target.startswith("https://")
        if target.startswith(REPOSITORY):
            kind, _, file = target.removeprefix(f"{REPOSITORY}/").partition("/main/")
            assert (ROOT / file).is_file()
            assert kind == ("raw" if file.endswith(".png") else "blob")


def test_the_index_page_links_to_the_project(wheel: Path) -> None:
    """Source, documentation, issues and changelog, each of the same repository."""
    found = dict(text.split(", ", 1) for text in _metadata(wheel).get_all("Project-URL", []))
    assert found.keys() == {"Source", "Documentation", "Issues", "Changelog"}
    for url in found.values():
        assert url.startswith(REPOSITORY)


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as held:
        (name,) = (name for name in held.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(held.read(name), policy=policy.default)


@pytest.fixture
def python(wheel: Path, tmp_path: Path) -> Path:
    """The interpreter of an environment with the wheel; it borrows this one's dependencies."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (site,) = (home / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    # They come after the environment's own packages, so the wheel's code is imported.
    (site / "dependencies.pth").write_text(dependencies + "\n", "utf-8")
    return python


def test_the_installed_wheel_works(python: Path, tmp_path: Path) -> None:
    """A walk runs in a new environment."""
    done = subprocess.run(
        [python, "-I", "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count, file = done.stdout.split()
    assert count == "50"
    assert Path(file).is_relative_to(tmp_path)


def test_the_installed_command_line_works(python: Path, tmp_path: Path) -> None:
    """A job, the chart's page and the help, of which the page is a file of the package."""
    with EmulatorThread(devices=1, messages=20) as emulator:
        environment = {
            **os.environ,
            "IOTTLY_API_KEY": emulator.api_key,
            "IOTTLY_BASE_URL": emulator.base_url,
            "IOTTLY_PROJECT": emulator.project_id,
        }
        for arguments in (
            ["--help"],
            ["ingest", "--to", "x.jsonl"],
            ["coverage", "x.jsonl", "--html", "x.html"],
        ):
            done = subprocess.run(
                [python, "-I", "-m", "iottly_async", *arguments],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 20
    assert emulator.project_id in (tmp_path / "x.html").read_text()
