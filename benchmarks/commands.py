"""Commands at most once: thousands of commands and reads through a network with faults.

Commands and reads go to an emulator in a process of its own, through a proxy that resets,
cuts and refuses connections and answers in place of the emulator, before or after the request
reached it. Measured are how often each command was executed, compared with the outcome that
its caller got, and how many reads succeed within four attempts where a fifth of all requests
has a fault.

```sh
python -m benchmarks commands --commands 20000 --reads 20000
```
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter

from iottly_async.emulator import DEVELOPMENT_KEY
from tests.support.fault_proxy import NETWORK_FAULTS, TRANSIENT_FAULTS, NetworkFault
from tests.support.storm import Storm, wrong_outcomes

from .soak import emulator
from .soak_audit import control
from .table import Figure

QUICK: list[str] = ["--commands", "500", "--reads", "500"]


async def measure(commands: int, reads: int, seed: int) -> list[Figure]:
    """Send commands and reads, and compare them with what the emulator executed."""
    chance = random.Random(seed)
    weights = [40.0 if m == "none" else 1.0 if m == "stall-after" else 6.0 for m in NETWORK_FAULTS]

    def any_fault() -> NetworkFault:
        return chance.choices(NETWORK_FAULTS, weights)[0]

    def a_fifth() -> NetworkFault:
        return chance.choice(TRANSIENT_FAULTS) if chance.random() < 0.2 else "none"

    async with emulator() as base_url:
        state = await asyncio.to_thread(control, base_url, "state")
        device = state["devices"][0]["fleet_id"]
        storm = Storm(base_url, DEVELOPMENT_KEY, device, any_fault, at_once=20)
        outcomes = await storm.commands(f"storm {number}" for number in range(commands))
        records = await asyncio.to_thread(control, base_url, "commands")
        executed: Counter[str] = Counter(record["body"]["command"] for record in records)
        reading = Storm(base_url, DEVELOPMENT_KEY, device, a_fifth, at_once=20)
        failures = await reading.reads(reads)
    print("\ncommands by the fault of each request:")
    for fault, count in sorted(storm.injected.items()):
        print(f"  {count:8}  {fault}")
    print("\ncommands by the outcome that the caller got, and by executions:")
    for (outcome, times), count in sorted(
        Counter((outcomes[text], executed[text]) for text in outcomes).items()
    ):
        print(f"  {count:8}  {outcome}, executed {times} times")
    print(f"\nreads: {reads}, {reading.retries} retries, failed: {Counter(map(repr, failures))}\n")
    return [
        Figure("commands with an outcome", len(outcomes), commands, ">=", ""),
        Figure("commands executed twice", sum(n > 1 for n in executed.values()), 0, "<=", ""),
        Figure(
            "commands with a wrong outcome", len(wrong_outcomes(outcomes, executed)), 0, "<=", ""
        ),
        Figure("reads within four attempts", 100 - 100 * len(failures) / reads, 99.5, ">=", "%"),
    ]


def main(argv: list[str]) -> list[Figure]:
    """Measure as many as the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks commands")
    parser.add_argument(
        "--commands", type=int, default=20_000, help="commands to send (default 20,000)"
    )
    parser.add_argument("--reads", type=int, default=20_000, help="reads to send (default 20,000)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the faults (default 1)")
    given = parser.parse_args(argv)
    return asyncio.run(measure(given.commands, given.reads, given.seed))
