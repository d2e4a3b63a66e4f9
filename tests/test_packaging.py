"""What a user gets: the wheel, in a clean environment, with every plugin and every file that the code reads."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(path.stem.replace("_", "-") for path in (ROOT / "twisted" / "plugins").glob("netstack_*.py"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("packaging")]


def run(*command: str | Path) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=350)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git knows, as a release would be: forgotten files show."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    source.mkdir()
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for each in tracked.stdout.decode().split("\0"):
        path = ROOT / each
        if each and (path.is_file() or path.is_symlink()):
            (source / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, source / each, follow_symlinks=False)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, source)
    (built,) = directory.glob("netstack-*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' directory of an environment that has the wheel and what it requires, nothing else."""
    directory = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", directory)
    run(directory / "bin" / "pip", "install", "--quiet", wheel)
    return directory / "bin"


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    paths = [path for top in ("netstack", "twisted") for path in (ROOT / top).rglob("*")]
    paths += [path / each.name for path in paths if path.is_symlink() and path.is_dir() for each in path.iterdir()]
    wanted = {
        str(path.relative_to(ROOT)) for path in paths if path.is_file() and path.suffix not in (".md", ".pyc", ".cache")
    }
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert len(wanted) > 50
    assert wanted - packed == set()
    assert not [each for each in packed if each.startswith(("tests/", "deploy/", "k8s/")) or each == "twisted/__init__.py"]


def test_twistd_finds_every_plugin(clean: Path) -> None:
    shown = run(clean / "twistd", "--help")
    assert PLUGINS
    assert [each for each in PLUGINS if each not in shown.split()] == []


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_plugin_shows_its_options(clean: Path, plugin: str) -> None:
    assert "Options:" in run(clean / "twistd", plugin, "--help")
