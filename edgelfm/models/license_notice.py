"""The licence of the weights, shown once before the first download of a model that is under it.

    EDGELFM_ACCEPT_LICENSE=lfm1.0       these licences are known and accepted: nothing is shown
    EDGELFM_ACCEPT_LICENSE=apache-2.0   others are refused, for fleets that may only run certain ones

The Hub does not ask for a click either, so without the variable the notice is shown and the download goes on. What was
shown is remembered in the config folder. This is no legal advice; the licence's own text counts.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from ..errors import LicenseNotAccepted
from ..paths import config_folder
from .entry import License

VARIABLE = "EDGELFM_ACCEPT_LICENSE"


def show_once(
    license: License,
    repo: str,
    *,
    environment: Mapping[str, str] | None = None,
    write: Callable[[str], object] | None = None,
) -> bool:
    """Show the notice if this licence asks for it and was not shown here before. Returns whether it was shown.

    Raises `LicenseNotAccepted` if `EDGELFM_ACCEPT_LICENSE` is set and does not name it.
    """
    environment = os.environ if environment is None else environment
    if not license.must_show:
        return False
    accepted = [name.strip().casefold() for name in environment.get(VARIABLE, "").split(",") if name.strip()]
    if license.id.casefold() in accepted:
        return False
    if accepted:
        raise LicenseNotAccepted(
            f"the weights of {repo} are under the {license.name}, and {VARIABLE} allows only {', '.join(accepted)}",
            hint=f"read {license.url}, then: export {VARIABLE}={','.join([*accepted, license.id])}",
        )
    record = _record(license, config_folder(environment))
    if record.exists():
        return False
    (write or sys.stderr.write)(notice(license, repo))
    _remember(record, license)
    return True


def notice(license: License, repo: str) -> str:
    """What people read."""
    summary = textwrap.fill(license.summary, width=88, initial_indent="  ", subsequent_indent="  ")
    return (
        f"The weights of {repo} are under the {license.name}.\n{summary}\n  Full text: {license.url}\n"
        f"  Shown once. Where nobody reads this, set {VARIABLE}={license.id}.\n"
    )


def _record(license: License, folder: Path) -> Path:
    # The name is part of it because the ids of licences on the Hub are not unique: many are just "other".
    name = re.sub(r"[^a-z0-9.]+", "-", f"{license.id} {license.name}".lower()).strip("-.")
    return folder / "licenses-shown" / f"{name[:120]}.txt"


def _remember(record: Path, license: License) -> None:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"{license.name}\n{license.url}\nshown {date.today().isoformat()}\n", encoding="utf-8")
    except OSError:
        return  # a home that cannot be written to: the notice is shown again the next time, which does no harm
