"""`iottly coverage`: which devices and times a store holds, as a chart, records or a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .console import iso_ms, say, stdout
from .exit_codes import ExitCode
from .output import FormatOption, Output

if TYPE_CHECKING:
    from ..ingest.coverage import Coverage, DeviceCoverage

_PAGE_BINS: Final = 160


async def coverage(
    store: str,
    /,
    *,
    html: Path | None = None,
    format: FormatOption = None,
) -> int:
    """Show which devices and times a store holds, and which are missing.

    A pipe gets one record a device; missing intervals are pairs of times, of which
    the second is exclusive. The exit code is 0 if nothing is missing, else 4.

    Args:
        store: The store, named as for ingest, or a folder of partitions.
        html: Write the chart to this file instead, as one page without other files.

    Returns:
        The exit code.
    """
    # Imported here, so that `iottly --help` loads no aiohttp.
    from ..ingest.coverage import page_of, survey
    from .coverage_chart import bins_of, draw, summary
    from .report_file import OutputFile

    output = Output(format)
    file = None if html is None else OutputFile(html, option="--html")
    if html is not None:
        bins = _PAGE_BINS
    else:
        bins = bins_of(stdout().width) if output.form == "table" else 1  # records have no cells
    found = await survey(store, bins=bins)
    if file is not None:
        file.put(page_of(found, store=store).encode())
        say(f"{html}: {summary(found)}")
    elif output.form == "table":
        draw(found)
    else:
        output.many([_record(found, device) for device in found.devices], [])
        say(summary(found))
    return ExitCode.DONE if found.whole else ExitCode.PARTLY


def _record(found: Coverage, device: DeviceCoverage) -> dict[str, Any]:
    return {
        **found.record(device),
        "missing": [[iso_ms(low), iso_ms(high)] for low, high in device.missing],
        "start": iso_ms(found.grid.start),
        "end": iso_ms(found.grid.end),
        "until": iso_ms(device.until),
    }
