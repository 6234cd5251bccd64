"""A newcomer's first command, on machines that lack one thing or another: every program that setup calls is a stand-in."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = (
    """awk bash cat chmod cut date df dirname env find flock grep ln mkdir rm sed sha256sum sleep sort tail touch uname xargs"""
)

# A Python of any version that makes "virtual environments" and, as pip, installs a stand-in for uv.
PYTHON = f"""#!{sys.executable} -IS
import os, pathlib, sys
version, venv_works = {{version}}, {{venv_works}}
arguments = sys.argv[1:]
if arguments == ["-V"]:
    print("Python", ".".join(map(str, version)))
elif arguments[0] == "-c":
    if "ensurepip" in arguments[1]:
        sys.exit(not venv_works)
    if "install_embedded" in arguments[1]:
        pathlib.Path(arguments[2]).mkdir(parents=True, exist_ok=True)
        sys.exit()
    sys.version_info = version
    exec(arguments[1])
elif arguments[:2] == ["-m", "venv"]:
    binaries = pathlib.Path(arguments[2], "bin")
    binaries.mkdir(parents=True)
    os.symlink(__file__, binaries / "python")
elif arguments[:3] == ["-m", "pip", "install"]:
    assert "--require-hashes" in arguments and "--hash=sha256:" in sys.stdin.read()
    os.symlink(os.environ["STAND_INS"] + "/uv", ".tools/uv/bin/uv")
elif arguments[:3] == ["-m", "rasa", "train"]:
    print("training", file=open("trainings", "a"))
    pathlib.Path("nlu/models").mkdir(exist_ok=True)
    pathlib.Path("nlu/models/nlu.tar.gz").touch()
"""

UV = """#!/bin/bash
echo "$@" >>uv.calls
python_of() { mkdir -p "$1/bin" && ln -sf "$STAND_INS/$2" "$1/bin/python"; }
case "$*" in
    --version) echo "uv 0.13.9 (x86_64-unknown-linux-gnu)" ;;
    "python "*) [[ -n "${UV_HAS_PYTHON:-}" ]] && echo "$STAND_INS/python-3.10" ;;
    "sync --project nlu"*) [[ ! -e nlu-breaks ]] && python_of nlu/.venv python-3.10 ;;
    sync*)
        [[ ! -e app-hangs ]] || { echo $$ >app-hangs && exec sleep 600; }
        [[ ! -e app-breaks ]] || { echo "no route to the package index" && exit 2; }
        python_of .venv python3
        ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A checkout on a machine where only the programs in ``bin`` exist."""

    checkout: Path
    bin: Path
    stand_ins: Path
    home: Path

    def put(self, name: str, text: str, folder: Path | None = None) -> None:
        program = (folder or self.bin) / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.home), "STAND_INS": str(self.stand_ins), **more}

    def setup(self, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.checkout / "setup"), *options]
        return subprocess.run(command, env=self.environment(**more), capture_output=True, text=True, timeout=60)

    def asked_of_uv(self, start: str) -> list[str]:
        calls = self.checkout / "uv.calls"
        return [call for call in calls.read_text().splitlines() if call.startswith(start)] if calls.exists() else []


def a_python(version: tuple[int, int, int], venv_works: bool = True) -> str:
    return PYTHON.format(version=version, venv_works=venv_works)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Python 3.11, make and a working Python 3.10; nothing is set up yet."""
    machine = Machine(tmp_path / "checkout", tmp_path / "bin", tmp_path / "stand-ins", tmp_path / "home")
    for folder in (machine.checkout / "nlu/data", machine.bin, machine.stand_ins, machine.home):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "setup", machine.checkout)
    (machine.checkout / "nlu/config.yml").write_text("language: en\n")
    for program in PROGRAMS.split():
        (machine.bin / program).symlink_to(shutil.which(program) or pytest.fail(f"{program} is not on this machine"))
    machine.put("make", "#!/bin/bash\n")
    machine.put("python3", a_python((3, 11, 2)))
    machine.put("python3.10", a_python((3, 10, 12)))
    machine.put("uv", UV, machine.stand_ins)
    machine.put("python3", a_python((3, 11, 2)), machine.stand_ins)
    machine.put("python-3.10", a_python((3, 10, 12)), machine.stand_ins)
    return machine


def test_everything_is_installed_from_the_locks(machine: Machine) -> None:
    done = machine.setup()

    assert done.returncode == 0, done.stderr
    assert "Ready after" in done.stdout
    assert machine.asked_of_uv("sync --frozen") == [f"sync --frozen --no-dev --python {machine.bin}/python3"]
    assert machine.asked_of_uv("sync --project nlu") == [f"sync --project nlu --frozen --no-dev --python {machine.bin}/python3.10"]
    assert (machine.checkout / "nlu/models/nlu.tar.gz").exists()
    assert (machine.checkout / "var/argos/packages").is_dir()


def test_a_second_run_installs_uv_and_trains_no_more(machine: Machine) -> None:
    machine.setup()
    again = machine.setup()

    assert again.returncode == 0
    assert again.stdout.count("already there") == 2
    assert (machine.checkout / "trainings").read_text().count("training") == 1


def test_changed_examples_train_a_new_model(machine: Machine) -> None:
    machine.setup()
    (machine.checkout / "nlu/data/en.yml").write_text("nlu: []\n")
    machine.setup()

    assert (machine.checkout / "trainings").read_text().count("training") == 2


def test_developer_tools_stay_when_a_later_run_does_not_ask_for_them(machine: Machine) -> None:
    machine.setup("--dev")
    machine.setup()

    assert [call for call in machine.asked_of_uv("sync --frozen") if "--no-dev" in call] == []


def test_without_python_the_line_that_installs_it_is_named(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    done = machine.setup()

    assert done.returncode == 1
    assert "Python 3.11 or newer is missing." in done.stderr
    assert "apt-get install -y python3 python3-venv" in done.stderr


def test_an_old_python_is_named_with_its_version(machine: Machine) -> None:
    machine.put("python3", a_python((3, 9, 2)))
    done = machine.setup()

    assert done.returncode == 1
    assert "Python 3.11 or newer is missing (python3 is 3.9.2)." in done.stderr


def test_a_python_without_venv_names_the_package_that_has_it(machine: Machine) -> None:
    machine.put("python3", a_python((3, 11, 2), venv_works=False))
    done = machine.setup()

    assert done.returncode == 1
    assert f"{machine.bin}/python3 cannot make virtual environments." in done.stderr
    assert "apt-get install -y python3-venv" in done.stderr


def test_everything_missing_is_named_in_one_line(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    (machine.bin / "make").unlink()

    assert "apt-get install -y make python3 python3-venv" in machine.setup().stderr


def test_another_processor_is_refused_with_a_sentence(machine: Machine) -> None:
    (machine.bin / "uname").unlink()
    machine.put("uname", "#!/bin/bash\n[[ $1 == -s ]] && echo Linux || echo aarch64\n")
    done = machine.setup()

    assert done.returncode == 1
    assert "this machine is Linux aarch64" in done.stderr


def test_a_python310_shim_that_fails_is_passed_over_for_pyenvs_newest(machine: Machine) -> None:
    machine.put("python3.10", "#!/bin/bash\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
    for version in ((3, 10, 9), (3, 10, 13)):
        name = ".".join(map(str, version))
        machine.put("python", a_python(version), machine.home / f".pyenv/versions/{name}/bin")
    done = machine.setup()

    assert done.returncode == 0, done.stderr
    assert machine.asked_of_uv("sync --project nlu")[0].endswith(".pyenv/versions/3.10.13/bin/python")


def test_uv_fetches_python310_when_none_is_found(machine: Machine) -> None:
    (machine.bin / "python3.10").unlink()
    done = machine.setup(UV_HAS_PYTHON="yes")

    assert done.returncode == 0, done.stderr
    assert machine.asked_of_uv("sync --project nlu")[0].endswith(f"--python {machine.stand_ins}/python-3.10")


def test_without_python310_setup_goes_on_and_says_what_it_costs(machine: Machine) -> None:
    (machine.bin / "python3.10").unlink()
    done = machine.setup()

    assert done.returncode == 0
    assert "left out" in done.stdout
    assert "Tellonce works, but understands numbers and keywords alone: no Rasa." in done.stdout
    assert "pyenv install 3.10" in done.stdout
    assert machine.asked_of_uv("sync --project nlu") == []


def test_strictly_without_python310_setup_fails(machine: Machine) -> None:
    (machine.bin / "python3.10").unlink()
    done = machine.setup("--strict")

    assert done.returncode == 1
    assert "pyenv install 3.10" in done.stderr


def test_a_step_that_fails_shows_its_last_lines_and_its_log(machine: Machine) -> None:
    (machine.checkout / "app-breaks").touch()
    done = machine.setup()

    assert done.returncode == 1
    assert "| no route to the package index" in done.stderr
    log = machine.checkout / "var/log/setup/app.log"
    assert str(log) in done.stderr
    assert log.exists()

    (machine.checkout / "app-breaks").unlink()
    assert machine.setup().returncode == 0


def test_an_interrupted_setup_leaves_nothing_running(machine: Machine, until: Callable[[Callable[[], bool]], None]) -> None:
    hangs = machine.checkout / "app-hangs"
    hangs.touch()
    command = [str(machine.checkout / "setup")]
    with subprocess.Popen(command, env=machine.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        until(lambda: hangs.read_text().endswith("\n"))
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 130

    until(lambda: not Path(f"/proc/{hangs.read_text().strip()}").exists())


def test_an_unknown_option_shows_the_options(machine: Machine) -> None:
    done = machine.setup("--fast")

    assert done.returncode == 2
    assert "Usage: ./setup" in done.stderr


def test_the_licence_is_the_whole_agpl() -> None:
    text = (ROOT / "LICENSE").read_bytes()

    assert hashlib.sha256(text).hexdigest() == "0d96a4ff68ad6d4b6f1f30f713b18d5184912ba8dd389f86aa7710db079abcb0"


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so, at most 20 seconds."""

    def wait(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait
