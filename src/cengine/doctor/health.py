"""What an installation and a project are like, and what mends them. Nothing heavy is imported here: it may be what is broken."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cengine.doctor.finding import MAX_SKEW_SECONDS, OK, PROBLEM, WARNING, Finding
from cengine.errors import CengineError
from cengine.extras import DISTRIBUTION, install_command
from cengine.memory import allowed_memory_bytes, default_memory_bytes

if TYPE_CHECKING:
    from packaging.requirements import Requirement

T = TypeVar("T")

PROBE_SECONDS = 60
LEAST_FREE_BYTES = 200 * 10**6
SPARE_BYTES = 10**9
LEAST_MEMORY_BYTES = 2 * 10**9
# When this was written: a clock before it is wrong.
EARLIEST = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
SHOWN = ("keras", "jax", "duckdb", "pyarrow", "numpy", "sqlglot", "sqlalchemy")


def examine(folder: Path) -> Iterator[Finding]:
    """All findings, the quick ones first; `folder` is the project's, which need not be there. A check that fails is a finding."""
    probe = _guarded("libraries", _start_probe)
    for name, check in CHECKS.items():
        yield from _guarded_check(name, lambda check=check: check(folder))  # type: ignore[misc]
    if isinstance(probe, Finding):
        yield probe
    else:
        yield from _guarded_check("libraries", lambda: _probed(probe))


def _guarded(name: str, work: Callable[[], T]) -> T | Finding:
    """What `work` gives; a finding where it fails."""
    try:
        return work()
    except CengineError as error:
        problem = error.problems[0]
        return Finding(name, PROBLEM, problem.message, "; ".join(problem.notes))
    except Exception as error:
        return Finding(name, PROBLEM, f"this could not be looked at: {type(error).__name__}: {error}".splitlines()[0])


def _guarded_check(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found = _guarded(name, lambda: list(check()))
    return [found] if isinstance(found, Finding) else found


# The installation


def _python(folder: Path) -> Iterator[Finding]:
    version = importlib.metadata.version(DISTRIBUTION)
    state = OK if sys.version_info >= (3, 11) else PROBLEM
    yield Finding(
        "python",
        state,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}",
        "" if state == OK else "make an environment with Python 3.11 or newer",
    )
    yield Finding("cengine", OK, f"{version}, {Path(__file__).parents[1]}")


def _requirements(folder: Path) -> Iterator[Finding]:
    """Versions against what cengine asks for; extras that are not there."""
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or ()]
    base = [requirement for requirement in wanted if not _extras(requirement)]
    lacking = [requirement for requirement in base if not _satisfied(requirement)]
    shown = ", ".join(f"{name} {_version(name)}" for name in SHOWN)
    if not lacking:
        yield Finding("versions", OK, shown)
    for requirement in lacking:
        found = _version(requirement.name)
        text = f"{requirement.name} is {'not installed' if found is None else f'{found}, which is not {requirement.specifier}'}"
        yield Finding(
            "versions", PROBLEM, text, f"{sys.executable} -m pip install '{requirement.name}{requirement.specifier}'"
        )
    for extra in sorted({extra for requirement in wanted for extra in _extras(requirement)}):
        parts = [requirement for requirement in wanted if extra in _extras(requirement)]
        missing = [requirement.name for requirement in parts if not _satisfied(requirement)]
        if missing:
            mend = f"if it is wanted: {install_command(extra)}"
            yield Finding(f"extra {extra}", WARNING, f"{', '.join(missing)} not installed", mend)
        else:
            yield Finding(
                f"extra {extra}",
                OK,
                ", ".join(f"{requirement.name} {_version(requirement.name)}" for requirement in parts),
            )


def _extras(requirement: Requirement) -> list[str]:
    return re.findall(r"extra == [\"']([^\"']+)[\"']", str(requirement.marker or ""))


def _satisfied(requirement: Requirement) -> bool:
    found = _version(requirement.name)
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


# A process of its own, so that a library that crashes or hangs takes nothing with it. One line for each that answers.
_PROBE = """
import importlib, json, os, sys, time
os.environ.update(KERAS_BACKEND="jax", KERAS_HOME=os.devnull + "/keras", TF_CPP_MIN_LOG_LEVEL="2", XLA_PYTHON_CLIENT_PREALLOCATE="false")
def tell(**what): print(json.dumps(what), flush=True)
for name in ("numpy", "pyarrow", "duckdb", "sqlglot", "sqlalchemy", "jax", "keras"):
    tell(begins=name)
    began = time.monotonic()
    try:
        module = importlib.import_module(name)
        if name == "duckdb": assert module.connect().execute("SELECT 42").fetchone() == (42,)
        if name == "jax":
            tell(devices=[[device.platform, device.device_kind] for device in module.devices()])
            assert float(module.numpy.ones(3).sum()) == 3.0
        tell(works=name, seconds=time.monotonic() - began)
    except BaseException as error:
        tell(broken=name, error=f"{type(error).__name__}: {error}")
"""


def _start_probe() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _probed(probe: subprocess.Popen[str]) -> Iterator[Finding]:
    ended, slow = "", False
    try:
        out, err = probe.communicate(timeout=PROBE_SECONDS)
        if probe.returncode:
            ended = f"the process ended with {probe.returncode}: {(err.strip().splitlines() or [''])[-1][:200]}"
    except subprocess.TimeoutExpired:
        probe.kill()
        out, _ = probe.communicate()
        slow = True
    told = [json.loads(line) for line in out.splitlines()]
    working = {line["works"]: line["seconds"] for line in told if "works" in line}
    broken = {line["broken"]: line["error"] for line in told if "broken" in line}
    begun = [line["begins"] for line in told if "begins" in line]
    if ended:
        broken[begun[-1] if begun else "python"] = ended
    if working:
        yield Finding("libraries", OK, f"{', '.join(working)} import and work ({sum(working.values()):.1f} s)")
    if slow:
        text = f"{begun[-1] if begun else 'python'} gave no answer within {PROBE_SECONDS} s"
        yield Finding("libraries", WARNING, text, "look what keeps the machine busy, and try again")
    for name, error in broken.items():
        mend = f"{sys.executable} -m pip install --force-reinstall --no-deps {name}"
        yield Finding("libraries", PROBLEM, f"{name} does not work: {error.splitlines()[0]}", mend)
    yield from _devices(next((line["devices"] for line in told if "devices" in line), None))


def _devices(devices: list[list[str]] | None) -> Iterator[Finding]:
    if devices is None:
        return  # jax does not work, which was said
    kinds = sorted({f"{platform_name} ({kind})" for platform_name, kind in devices})
    only_cpu = all(platform_name == "cpu" for platform_name, _ in devices)
    if only_cpu and shutil.which("nvidia-smi"):
        yield Finding(
            "devices",
            WARNING,
            "jax sees no GPU, though there is an NVIDIA driver",
            f"{sys.executable} -m pip install --upgrade 'jax[cuda12]'",
        )
    else:
        yield Finding("devices", OK, f"{len(devices)}: {', '.join(kinds)}")


# The machine


def _machine(folder: Path) -> Iterator[Finding]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    yield Finding("cores", OK, f"{usable} usable, load {load:.1f}")
    allowed, free = allowed_memory_bytes(), _available_memory_bytes()
    text = (
        f"{_gigabytes(allowed)} in all, {_gigabytes(free)} free; a run takes up to {_gigabytes(default_memory_bytes())}"
    )
    if min(allowed, free) < LEAST_MEMORY_BYTES:
        yield Finding("memory", WARNING, text, "end other programs, or run with --memory 1GB")
    else:
        yield Finding("memory", OK, text)


def _available_memory_bytes() -> int:
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(match.group(1)) * 1024 if match else allowed_memory_bytes()
    except OSError:
        return allowed_memory_bytes()  # no such file here


def _disk(folder: Path) -> Iterator[Finding]:
    near = next(path for path in (folder, *folder.parents) if path.is_dir())
    usage = shutil.disk_usage(near)
    snapshots = [file.parent for file in folder.glob("artifacts/snapshot/??/*/artifact.json")]
    largest = max((sum(f.stat().st_size for f in path.glob("*.parquet")) for path in snapshots), default=0)
    # Encoded rows, predictions, checkpoints and what does not fit into memory: about twice the largest table.
    needed = 2 * largest + SPARE_BYTES
    text = f"{_gigabytes(usage.free)} free of {_gigabytes(usage.total)} at {near}, about {_gigabytes(needed)} wanted for a run"
    mend = "make room: cengine cache prune --unused-for 30d"
    if usage.free < LEAST_FREE_BYTES:
        yield Finding("disk", PROBLEM, text, mend)
    elif usage.free < needed:
        yield Finding("disk", WARNING, text, mend)
    else:
        yield Finding("disk", OK, text)


def _clock(folder: Path) -> Iterator[Finding]:
    now = datetime.datetime.now(datetime.UTC)
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < EARLIEST:
        yield Finding(
            "clock",
            PROBLEM,
            f"it is {shown} here, which has long been",
            "set the machine's clock, for example with timedatectl set-ntp true",
        )
        return
    near = next(path for path in (folder, *folder.parents) if path.is_dir())
    place = near if os.access(near, os.W_OK) else Path(tempfile.gettempdir())
    with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
        skew = Path(file.name).stat().st_mtime - time.time()
    if abs(skew) > MAX_SKEW_SECONDS:
        text = f"files at {place} are stamped {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's clock"
        yield Finding("clock", WARNING, text, "let both machines take their time from one server (NTP)")
    else:
        yield Finding("clock", OK, shown)


def _viewers(folder: Path) -> Iterator[Finding]:
    display = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    browser = _browser()
    if not display:
        yield Finding("browser", OK, "no display: pages are written, and opened elsewhere")
    elif browser:
        yield Finding("browser", OK, browser)
    else:
        yield Finding("browser", WARNING, "there is a display but no browser", "name one: export BROWSER=firefox")
    jupyter = _version("jupyterlab")
    yield Finding(
        "jupyter", OK, f"jupyterlab {jupyter}" if jupyter else "not here: notebooks are written, and opened elsewhere"
    )


def _browser() -> str:
    """What the browser is called that would be opened; empty where there is none."""
    import webbrowser

    try:
        return webbrowser.get().name if hasattr(webbrowser.get(), "name") else "the system's"
    except webbrowser.Error:
        return ""


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"


def _project(folder: Path) -> Iterator[Finding]:
    from cengine.doctor.project_health import project_findings

    yield from project_findings(folder)


CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "python": _python, "versions": _requirements, "machine": _machine, "disk": _disk, "clock": _clock, "viewers": _viewers, "project": _project,
}  # fmt: skip
