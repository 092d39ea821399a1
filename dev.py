#!/usr/bin/env python3
"""The one command for everything: `python3 dev.py --help`.

It makes and mends .venv by itself. What was installed is noted in .venv/installed; while that note
still fits pyproject.toml and constraints.txt, a start costs a few milliseconds. Nothing but the
standard library is used, and before the app takes over hardly more than Python has loaded anyway.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - read by older ones, so no newer syntax in this file
    sys.exit(f"backprop-tui needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

import io
import os

HELP = """\
usage: python3 dev.py COMMAND

  app [ARGS]          start backprop-tui with ARGS; installs what it needs the first time
  app --no-torch ...  the same, but does not install torch: the app works without it,
                      only the column that compares with torch stays empty
  check               everything that must hold: ruff, mypy, import contracts, tests
  test [ARGS]         pytest with ARGS
  soak [ARGS]         the long tests that `check` and `test` leave out
  screenshots [ARGS]  make the pictures in screenshots/ from the running app
  bench [ARGS]        measure, with other libraries beside

All of it lives in .venv beside this file. If in doubt, delete .venv: the next start makes it anew.
pip's own settings are honoured. On Linux, torch is several GB with its GPU parts; to get the small
build, set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds before the first start.
"""

WINDOWS = sys.platform == "win32"
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
BIN = os.path.join(VENV, "Scripts" if WINDOWS else "bin")
PYTHON = os.path.join(BIN, "python.exe" if WINDOWS else "python")
APP = os.path.join(BIN, "backprop-tui.exe" if WINDOWS else "backprop-tui")

INSTALLED = os.path.join(VENV, "installed")
"""The note of a finished setup: the fingerprint, then one line for each thing that is installed."""
UNFINISHED = os.path.join(VENV, "unfinished")
"""There only while a setup runs, or after one that failed: what was in .venv before it began."""

SETUPS = {
    # what can be installed: (the package as pip gets it, what is then there)
    "app": (".", ["app", "app without torch"]),
    "app without torch": (None, ["app without torch"]),
    "dev": (".[dev]", ["dev", "app", "app without torch"]),
    "bench": (".[bench]", ["bench", "app", "app without torch"]),
}

STAGES = {
    # what `check` runs, each as arguments for .venv's Python
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "imports": [
        "-c",
        "from importlinter.cli import lint_imports_command as run; run()",
        "--no-logo",
    ],
    "pytest": ["-m", "pytest", "-n", "auto", "--maxprocesses", "8"],
}

REASONS = {
    # words in pip's output -> what that means to a person
    "NewConnectionError": "It seems that there is no network. Connect, then run this again.",
    "NameResolutionError": "It seems that there is no network. Connect, then run this again.",
    "ReadTimeoutError": "The network did not answer in time. Run this again.",
    "ProxyError": "The proxy refused the connection: see pip's `proxy` setting.",
    "No space left on device": "The disk is full. Make room, then run this again.",
    "No module named pip": ".venv has no pip, and this script did not make it: delete .venv first.",
}


def main(args: list[str]) -> None:
    sys.stdout.reconfigure(errors="replace")  # a console that lacks a letter is no reason to fail
    sys.stderr.reconfigure(errors="replace")
    command, rest = (args[0], args[1:]) if args else ("", [])
    if command == "app":
        wants_torch = rest[:1] != ["--no-torch"]
        prepare("app" if wants_torch else "app without torch")
        become([APP, *(rest if wants_torch else rest[1:])])
    elif command == "check":
        prepare("dev")
        check()
    elif command == "test":
        prepare("dev")
        become([PYTHON, "-m", "pytest", *rest], at=ROOT)
    elif command == "soak":
        prepare("dev")
        become([PYTHON, "-m", "pytest", "-m", "soak", *rest], at=ROOT)
    elif command == "screenshots":
        prepare("dev")
        become([PYTHON, os.path.join("screenshots", "make.py"), *rest], at=ROOT)
    elif command == "bench":
        prepare("bench")
        become([PYTHON, "-m", "benchmarks", *rest], at=ROOT)
    elif command in ("help", "-h", "--help"):
        print(HELP, end="")
    elif not command:
        sys.exit(HELP.rstrip())
    else:
        fail(f"there is no command '{command}': see python3 dev.py --help")


def become(command: list[str], at: str | None = None) -> None:
    """Replace this process by `command`, so that keys and signals go to it directly."""
    if at:
        os.chdir(at)
    if not WINDOWS:
        os.execv(command[0], command)

    # Windows can't replace a process: wait for the other one, and leave Ctrl-C to it.
    import subprocess

    with subprocess.Popen(command) as child:
        while True:
            try:
                sys.exit(child.wait())
            except KeyboardInterrupt:
                continue


def check() -> None:
    """Run every stage, also after one failed, and tell at the end which ones did."""
    import subprocess
    import time

    lines, failed = [], []
    for name, arguments in STAGES.items():
        print(f"\n--- {name}", flush=True)
        start = time.monotonic()
        good = subprocess.run([PYTHON, *arguments], cwd=ROOT, check=False).returncode == 0
        lines.append(f"  {'ok' if good else 'FAILED':8}{name:14}{time.monotonic() - start:6.1f} s")
        failed += [] if good else [name]
    print("\n--- summary", *lines, sep="\n")
    if failed:
        fail(f"{', '.join(failed)} failed: see above")


# ---------------------------------------------------------------------------------------- setup


def prepare(want: str) -> None:
    """Make sure that .venv has what `want` needs. When it has, this takes a few milliseconds."""
    if not is_ready(want):
        setup(want)


def is_ready(want: str) -> bool:
    return not os.path.exists(UNFINISHED) and os.path.exists(APP) and want in installed()


def installed() -> list[str]:
    """What .venv has, as the note of the last setup tells: nothing if that no longer fits."""
    note = read(INSTALLED).splitlines()
    return note[1:] if note[:1] == [fingerprint()] else []


def fingerprint() -> str:
    """Changes whenever the installed package could be out of date: its files, place or Python."""
    import hashlib

    parts = [ROOT, os.path.realpath(PYTHON)]
    parts += [read(os.path.join(ROOT, name)) for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def setup(want: str) -> None:
    """Create .venv where it is missing or broken, and install what `want` needs into it."""
    try:
        with only_one():
            tidy_up()
            if is_ready(want):  # done by somebody else while we waited, or never harmed
                return
            before = contents()
            if before:
                print(f"updating .venv for '{want}' ...", flush=True)
            else:
                print("setting up .venv (once; takes a few minutes) ...", flush=True)
            os.makedirs(VENV, exist_ok=True)
            write(UNFINISHED, before)
            if not before:
                create_venv()
            install(want)
            others = [thing for thing in installed() if thing not in SETUPS[want][1]]
            write(INSTALLED, "\n".join([fingerprint(), *SETUPS[want][1], *others, ""]))
            os.remove(UNFINISHED)
    except KeyboardInterrupt:
        fail("interrupted: the next start sets up .venv again")
    except OSError as error:
        fail(
            f"can't set up .venv: {error}.\n"
            "Is this folder yours to write to? If it is, delete .venv and run this again."
        )


def only_one() -> io.TextIOBase:
    """A lock: two setups at once would ruin each other. The file that it holds is never written.

    pip inherits it, so it also lasts as long as a pip whose dev.py was killed. The system drops it
    when the last of them is gone. Windows can't lock a file without barring all who read it.
    """
    file = open(__file__)  # noqa: SIM115 - the caller closes it
    if not WINDOWS:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another setup of .venv is running: waiting for it ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)
    return file


def tidy_up() -> None:
    """Clear away what an earlier setup left, if it failed, and a .venv that nothing can mend."""
    if os.path.exists(UNFINISHED) and read(UNFINISHED) != contents():
        why = "an earlier setup did not finish"
    elif os.path.exists(INSTALLED) and not runs(PYTHON, "-m", "pip", "--version"):
        why = "its Python is gone"
    else:
        if os.path.exists(UNFINISHED):
            os.remove(UNFINISHED)
        return
    import shutil

    print(f"removing .venv: {why} ...", flush=True)
    shutil.rmtree(VENV)


def contents() -> str:
    """The names of all that is installed. A failed setup that left them alone has done no harm."""
    import glob

    library = ["Lib"] if WINDOWS else ["lib", "python*"]
    found = glob.glob(os.path.join(glob.escape(VENV), *library, "site-packages", "*"))
    return "\n".join(sorted(os.path.basename(path) for path in found if "__pycache__" not in path))


def create_venv() -> None:
    from importlib.util import find_spec

    if not (find_spec("venv") and find_spec("ensurepip")):
        fail(
            "this Python lacks its `venv` module. On Debian and Ubuntu: "
            "sudo apt install python3-venv"
        )
    # Not sys.executable: that may lie in a venv, even in the one being made.
    run(getattr(sys, "_base_executable", sys.executable), "-m", "venv", VENV)


def install(want: str) -> None:
    package, _ = SETUPS[want]
    pip = [PYTHON, "-m", "pip", "install", "--constraint", "constraints.txt"]
    if package:
        run(*pip, "--editable", package)
    else:
        import tomllib

        project = tomllib.loads(read(os.path.join(ROOT, "pyproject.toml")))["project"]
        run(*pip, *(need for need in project["dependencies"] if not need.startswith("torch")))
        run(*pip, "--no-deps", "--editable", ".")


def run(*command: str) -> None:
    """Run a slow command. Its output stays hidden, but for the current line, unless it fails."""
    import subprocess
    from shutil import get_terminal_size

    lines = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        close_fds=WINDOWS,  # elsewhere pip shall inherit the lock
    ) as child:
        try:
            for line in child.stdout:
                lines.append(line.rstrip())
                if sys.stdout.isatty():
                    width = get_terminal_size().columns - 3
                    print(f"\r\x1b[K  {line.strip()[:width]}", end="", flush=True)
        finally:
            child.wait()  # also after Ctrl-C, which reaches the child as well
            if sys.stdout.isatty():
                print("\r\x1b[K", end="", flush=True)
    if child.returncode:
        output = "\n".join(lines)
        telling = [line for line in lines if not line.startswith("WARNING: Retrying")]
        print(*telling[-20:], "", sep="\n", file=sys.stderr)
        reasons = [reason for words, reason in REASONS.items() if words in output]
        fail(reasons[0] if reasons else "the setup failed: see above. Run this again to retry.")


def runs(*command: str) -> bool:
    import subprocess

    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def fail(message: str) -> None:
    sys.exit(f"dev.py: {message}")


if __name__ == "__main__":
    main(sys.argv[1:])
