"""Peers: the same fleet into DuckDB by `iottly ingest`, by a script with httpx, and by dlt.

One emulator process serves all three, with 10 ms a request and eight requests at once. The
script (`peers_script.py`) and the pipeline (`peers_dlt.py`) are written with care: a cursor for
each device, a wait after a refusal, dlt's rows merged by a hash of all that they have. Each
client is a process of its own, whose CPU time, memory and requests are counted until it ends.
Then its file is compared with the service, row for row.

| situation | what happens |
| --- | --- |
| alone | the history, and nothing else |
| quota | 60 requests in 3 s: a quota of 600 a minute that runs twice as fast, in short windows |
| arriving | 100 messages a second arrive during the run; a second run fetches the rest |
| late | the same, and each becomes visible up to 4 s after its timestamp |
| identical | a tenth of the messages come twice, with the same content |
| killed | the client is killed three times at a request, then runs to its end |

Figures are the peer's divided by ours; above 1, ours is better. A row whose peer is better says
so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from iottly_async.emulator import EmulatorOptions, EmulatorThread

from .peers_fleet import PROJECT, compare, write_history
from .table import Figure, Row, run_parts

_ROOT: Final = Path(__file__).parents[1]
_SETTLED: Final = 12.0  # seconds after which all that was appended is visible and settled
_KILLS: Final = 3
PEERS: Final = ("script", "dlt")


class Situation(NamedTuple):
    """What a client meets.

    Attributes:
        options: Of the emulator, besides those that all have.
        messages: Of the history, unless the arguments say another number.
        arriving: Messages a second that arrive during the run.
        identical: Whether messages come twice.
        killed: Whether the client is killed.
    """

    options: EmulatorOptions
    messages: int = 60_000
    arriving: float = 0.0
    identical: bool = False
    killed: bool = False


SITUATIONS: Final = {
    "alone": Situation({}, messages=200_000),  # more, so that starting is a small part
    "quota": Situation({"rate_limit": 60, "rate_window": 3.0}),
    "arriving": Situation({}, arriving=100.0),
    "late": Situation({"late_by": (0.0, 4.0)}, arriving=100.0),
    "identical": Situation({}, identical=True),
    "killed": Situation({}, killed=True),
}


class Outcome(NamedTuple):
    """What a client needed, over all of its runs, and what its file has.

    Attributes:
        seconds: Of the wall clock, without the pauses between runs.
        cpu: Seconds, of all threads and child processes.
        memory: The most that a run had resident, in MiB.
        requests: That the service got.
        refused: Of these, by the quota.
        lost: Messages that the file lacks.
        repeated: Rows that it has too many.
        size: Of the file, in MB.
        code: The exit code of the last run.
    """

    seconds: float
    cpu: float
    memory: float
    requests: int
    refused: int
    lost: int
    repeated: int
    size: float
    code: int


def main(argv: list[str]) -> Iterator[Row]:
    """Measure the situations that the arguments name; all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument(
        "--messages", type=int, help="messages of the history; 200,000 alone, otherwise 60,000"
    )
    parser.add_argument("--devices", type=int, default=20, help="devices of the fleet")
    parser.add_argument("--situation", choices=SITUATIONS, action="append", help="only these")
    given = parser.parse_args(argv)
    parts: dict[str, Callable[[], list[Figure]]] = {
        name: partial(_situation, name, given.messages, given.devices)
        for name in given.situation or SITUATIONS
    }
    return run_parts(parts)


def _situation(name: str, messages: int | None, devices: int) -> list[Figure]:
    import dlt  # noqa: F401 - without it, or the next one, this benchmark cannot run
    import httpx  # noqa: F401

    situation = SITUATIONS[name]
    messages = messages or situation.messages
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "history.jsonl"
        write_history(history, devices=devices, messages=messages, identical=situation.identical)
        print(
            f"  {name:<10}  time, s   CPU, s   memory, MiB  requests  429s   lost  repeated   MB "
            " exit"
        )
        for client in ("ours", *PEERS):
            place = Path(folder) / client
            place.mkdir()
            outcome = outcomes[client] = _measure(client, situation, history, place)
            print(
                f"  {client:<10} {outcome.seconds:8.1f} {outcome.cpu:8.2f} {outcome.memory:13.0f} "
                f"{outcome.requests:9,} {outcome.refused:5,} {outcome.lost:6,} "
                f"{outcome.repeated:9,} {outcome.size:3.1f} {outcome.code:5}",
                flush=True,
            )
    return _figures(name, outcomes)


def _measure(client: str, situation: Situation, history: Path, place: Path) -> Outcome:
    file = place / f"{client}.duckdb"
    options: EmulatorOptions = {**situation.options, "jsonl": history, "latency": 0.01}
    with EmulatorThread(**options) as emulator:
        runs = _Runs(client, emulator, place)
        if situation.arriving:
            emulator.start_appending(situation.arriving)
        if situation.killed:
            pages = sum(1 for _ in history.open()) // 100
            for _ in range(_KILLS):
                runs.run(kill_after=pages // (_KILLS + 1))
        runs.run()
        if situation.arriving:
            emulator.stop_appending()
            time.sleep(_SETTLED)
            runs.run()
        requests = emulator.requests
        lost, repeated = compare(emulator, client, file)
    return Outcome(
        seconds=runs.seconds,
        cpu=runs.cpu,
        memory=runs.memory,
        requests=len(requests),
        refused=sum(request.refused for request in requests),
        lost=lost,
        repeated=repeated,
        size=file.stat().st_size / 1e6 if file.exists() else 0.0,
        code=runs.code,
    )


class _Runs:
    """The runs of one client: its processes, and what they needed.

    Attributes:
        seconds: Of the wall clock.
        cpu: Seconds.
        memory: MiB, of the run that had most.
        code: The exit code of the last run.
    """

    def __init__(self, client: str, emulator: EmulatorThread, place: Path) -> None:
        self.seconds = self.cpu = self.memory = 0.0
        self.code = 0
        self._emulator = emulator
        key, base = emulator.api_key, emulator.base_url
        file = place / f"{client}.duckdb"
        self._command = {
            "ours": ["iottly_async", "ingest", "--to", str(file), "--project", PROJECT],
            "script": ["benchmarks.peers_script", base, key, PROJECT, str(file)],
            "dlt": ["benchmarks.peers_dlt", base, key, PROJECT, str(place)],
        }[client]
        self._place = place
        self._environment = os.environ | {
            "HOME": str(place),
            "IOTTLY_API_KEY": key,
            "IOTTLY_BASE_URL": base,
            "PYTHONPATH": str(_ROOT),
        }

    def run(self, *, kill_after: int | None = None) -> None:
        """Run the client to its end, or kill it after a number of requests."""
        begun, sent = time.perf_counter(), len(self._emulator.requests)
        with (self._place / "output.txt").open("ab") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=self._place,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        status = self._wait_for(running, None if kill_after is None else sent + kill_after)
        running.returncode = self.code = status
        self.seconds += time.perf_counter() - begun

    def _wait_for(self, running: subprocess.Popen[bytes], kill_at: int | None) -> int:
        """Return the exit code; kill it once the service has got `kill_at` requests."""
        status = Path(f"/proc/{running.pid}/status")
        while True:
            # The kernel's `ru_maxrss` also has what this process had when it started the client.
            peak = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
            if peak:
                self.memory = max(self.memory, int(peak[0].split()[1]) / 1024)
            if kill_at is not None and len(self._emulator.requests) >= kill_at:
                running.kill()
                kill_at = None
            found, status_, usage = os.wait4(running.pid, os.WNOHANG)
            if found:
                self.cpu += usage.ru_utime + usage.ru_stime
                return os.waitstatus_to_exitcode(status_)
            time.sleep(0.01)


def _figures(name: str, outcomes: dict[str, Outcome]) -> list[Figure]:
    ours = outcomes["ours"]
    figures = [
        Figure(f"{name}: ours, messages lost or repeated", ours.lost + ours.repeated, 0, unit="")
    ]
    for peer in PEERS:
        other = outcomes[peer]
        if other.code:
            figures.append(Figure(f"{name}: {peer} fails, exit code", other.code, unit=""))
            continue
        least = {"script": 2.0, "dlt": 5.0}[peer] if name == "alone" else None
        compared = {
            "time": (other.seconds, ours.seconds, None),
            "CPU": (other.cpu, ours.cpu, least),
            "memory": (other.memory, ours.memory, None),
            "requests": (other.requests, ours.requests, None),
            "file": (other.size, ours.size, 1.0 if (name, peer) == ("alone", "script") else None),
        }
        for what, (theirs, our, bound) in compared.items():
            better = f" ({peer} is better)" if theirs < our else ""
            figures.append(
                Figure(f"{name}: {peer} / ours, {what}{better}", theirs / our, bound, ">=")
            )
        wrong = other.lost + other.repeated
        figures.append(Figure(f"{name}: {peer}, messages lost or repeated", wrong, unit=""))
    return figures
