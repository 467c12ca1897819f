"""Make the HTML card of a saved benchmark, and pictures of it: wide, dark, on a phone, and printed.

    edgelfm bench starter --peers --json docs/bench/starter.json
    pip install playwright
    python scripts/bench_card.py docs/bench/starter.json

Writes `starter.html`, `starter-light.png`, `starter-dark.png`, `starter-phone.png` and `starter.pdf` beside the report.
The pictures need Chromium, taken from the path or from --browser. With --only-html neither it nor playwright is needed.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from edgelfm.bench.card import report_html
from edgelfm.bench.files import read_json

#: Name of the picture, width of the window in pixels, colour scheme, and how many pixels of the picture one of them is.
PICTURES = (("light", 1120, "light", 1), ("dark", 1120, "dark", 1), ("phone", 390, "light", 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path, help="JSON file that edgelfm bench wrote")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--only-html", action="store_true")
    options = parser.parse_args()
    page = options.report.with_suffix(".html")
    page.write_text(report_html(read_json(options.report)), encoding="utf-8")
    print(page)
    if not options.only_html:
        for made in take_pictures(page, options.browser):
            print(made)


def take_pictures(page: Path, browser_path: str | None) -> list[Path]:
    from playwright.sync_api import sync_playwright

    made = []
    with sync_playwright() as playwright:
        browser: Any = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for name, width, scheme, scale in PICTURES:
            window = browser.new_page(
                viewport={"width": width, "height": 800}, color_scheme=scheme, device_scale_factor=scale
            )
            window.goto(page.resolve().as_uri())
            overflow = window.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if overflow > 0:
                raise SystemExit(f"{page} is {overflow} pixels too wide for a window of {width}")
            made.append(page.with_name(f"{page.stem}-{name}.png"))
            window.screenshot(path=made[-1], full_page=True)
            window.close()
        window = browser.new_page()
        window.goto(page.resolve().as_uri())
        made.append(page.with_suffix(".pdf"))
        window.pdf(path=made[-1], format="A4", margin=dict.fromkeys(("top", "bottom", "left", "right"), "14mm"))
        browser.close()
    return made


if __name__ == "__main__":
    main()
