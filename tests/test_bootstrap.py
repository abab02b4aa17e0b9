"""The set-up script: what it hands from pip to uv, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.scripts import load_script

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "bootstrap.py"
bootstrap = load_script(SCRIPT)


def run_script(*arguments: str, code: str = "pass") -> subprocess.CompletedProcess:
    """Run the script after the statements ``code``, where only the standard library is."""
    start = f"import runpy, sys; sys.argv = {[str(SCRIPT), *arguments]!r}; {code}"
    command = [
        sys.executable,
        "-c",
        f"{start}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')",
    ]
    return subprocess.run(command, capture_output=True, text=True)


def test_pip_config_sections_in_pips_order():
    listing = (
        ":env:.find-links='/env'\n"
        "global.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'\n"
        "global.find-links='/file'\n"
        "global.index-url='https://global/simple'\n"
        "install.index-url='https://install/simple'\n"
        "freeze.find-links='/not-for-installing'\n"
    )
    config = bootstrap.parse_pip_config(listing)
    assert config["find-links"] == "/env"
    assert config["index-url"] == "https://install/simple"
    assert config["extra-index-url"].split() == ["https://a/simple", "https://b/simple"]


def test_uv_gets_what_pip_knows_but_the_users_own_settings_stay():
    config = {
        "index-url": "https://i/simple",
        "extra-index-url": "\nhttps://a\nhttps://b",
        "cert": "/c",
    }
    env = bootstrap.uv_environment(config, {"UV_DEFAULT_INDEX": "https://mine", "HOME": "/h"})
    assert env["UV_DEFAULT_INDEX"] == "https://mine"
    assert env["UV_INDEX"] == "https://a https://b"
    assert env["SSL_CERT_FILE"] == "/c"
    assert env["HOME"] == "/h"
    assert "UV_FIND_LINKS" not in env


def test_source_is_not_tried_where_it_cannot_be_reached(tmp_path):
    missing = (tmp_path / "missing.zip").as_uri()
    assert bootstrap.why_no_source(missing)
    assert bootstrap.why_no_source("no url at all")


def test_folder_that_is_no_environment_is_left_alone(tmp_path):
    keep = tmp_path / "work" / "precious.txt"
    keep.parent.mkdir()
    keep.write_text("data")
    result = run_script("--venv", str(keep.parent))
    assert result.returncode != 0
    assert "left alone" in result.stderr
    assert keep.read_text() == "data"


def test_missing_ensurepip_names_the_cure(tmp_path):
    hide = "import shutil; shutil.which = lambda name: None; "
    hide += "import importlib.util as u; find = u.find_spec; "
    hide += "u.find_spec = lambda name, *a: None if name == 'ensurepip' else find(name, *a)"
    result = run_script("--venv", str(tmp_path / "venv"), code=hide)
    assert result.returncode != 0
    assert "apt-get install python3-venv" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_broken_python_counts_as_missing(tmp_path):
    assert bootstrap.imports(sys.executable, "sys", "os")
    assert not bootstrap.imports(sys.executable, "no_such_module_anywhere")
    assert not bootstrap.imports(str(tmp_path / "python"), "sys")


def test_installed_packages_are_compiled_once(tmp_path, monkeypatch):
    """Also where no process may write them; files for a later Python are passed over."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "installed.py").write_text("VALUE = 1\n")
    (site / "later.py").write_text("def f[T: not today]\n")
    (tmp_path / "drfpn_da").mkdir()
    (tmp_path / "drfpn_da" / "own.py").write_text("VALUE = 2\n")
    monkeypatch.setattr(bootstrap, "site_packages", lambda python: str(site))
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    bootstrap.compile_bytecode(sys.executable)
    compiled = {path.name.split(".")[0] for path in tmp_path.rglob("*.pyc")}
    assert compiled == {"installed", "own"}
