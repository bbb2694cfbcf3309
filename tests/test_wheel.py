"""The wheel: it builds, and works when it is installed without the sources."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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
    """The project's wheel, built by pip."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT)], check=True)
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


def test_the_installed_wheel_works(wheel: Path, tmp_path: Path) -> None:
    """A walk runs in a new environment, which borrows this one's dependencies."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (site,) = (home / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    dependencies = next(path for path in sys.path if path.endswith("site-packages"))
    # They come after the environment's own packages, so the wheel's code is imported.
    (site / "dependencies.pth").write_text(dependencies + "\n", "utf-8")
    done = subprocess.run(
        [python, "-I", "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count, file = done.stdout.split()
    assert count == "50"
    assert Path(file).is_relative_to(site)
