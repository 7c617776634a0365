"""Take the screenshots in ``docs/images``, with axe looking at every page: ``python -m tests.system.web.look DIR``."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.system.web.axe import serious
from tests.system.web.site import Site, furnish, heard, serving

SIZES = {"wide": (1280, 900), "narrow": (390, 844)}


def browser(folder: Path) -> Any:
    """Return a headless Chromium that downloads into a folder."""
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(word)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    return webdriver.Chrome(options=options, service=service)


def sign_in(driver: Any, site: Site, who: str) -> None:
    """Sign in with a token."""
    driver.get(f"{site.url}/sign-in")
    driver.find_element(By.NAME, "token").send_keys(site.tokens[who])
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    WebDriverWait(driver, 20).until(lambda _driver: "/sign-in" not in driver.current_url)


def shape(driver: Any, size: str, scheme: str) -> None:
    """Set the size of the window's inside and the colour scheme."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "narrow"}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def pages(ids: dict[str, int]) -> dict[str, str]:
    """Name → path of every page."""
    return {
        "runs": "/runs",
        "run": f"/runs/{ids['judged']}",
        "running": f"/runs/{ids['running']}",
        "new-run": "/runs/new",
        "compare": f"/runs/{ids['judged']}/compare?with={ids['judged'] - 1}",
        "clouds": "/clouds",
        "cloud": f"/clouds/{ids['cloud']}",
        "new-cloud": "/clouds/new",
        "guidelines": "/guidelines",
        "schedules": "/schedules",
        "notifications": "/notifications",
        "notification": "/notifications/1",
        "guideline": "/guidelines/1",
        "verdicts": "/matrix",
        "log": f"/runs/{ids['judged']}/log",
        "tokens": "/tokens",
        "fleet": "/fleet",
        "test": f"/runs/{ids['judged']}/tests/16",
        "waiting": f"/runs/{ids['waiting']}",
        "node": "/fleet/node-a.fra",
        "vendors": "/vendors",
        "vendor": "/vendors/1",
        "user": "/users/1",
        "audit": "/audit",
        "about": "/about",
        "api-reference": "/docs/api",
        "not-found": "/nonsense",
    }


def main(out: Path) -> int:
    """Look at every page in both sizes and both schemes; return how many things axe finds serious."""
    out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, serving(Path(folder)) as site:
        ids = furnish(site)
        driver = browser(Path(folder))
        try:
            for size in SIZES:
                for scheme in ("light", "dark"):
                    shape(driver, size, scheme)
                    driver.get(f"{site.url}/sign-in")
                    driver.delete_all_cookies()
                    driver.get(f"{site.url}/sign-in")
                    shot(driver, out / f"sign-in-{size}-{scheme}.png")
                    sign_in(driver, site, "operator")
                    for name, path in pages(ids).items():
                        heard(site, ids["running"])
                        driver.get(site.url + path)
                        shot(driver, out / f"{name}-{size}-{scheme}.png")
                        width = driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
                        found = serious(driver) + ([f"scrolls sideways by {width}"] if width > 0 else [])
                        wrong += len(found)
                        for one in found:
                            print(f"{name} {size} {scheme}: {one}")
            for line in driver.get_log("browser"):
                print("console:", line["message"])
        finally:
            driver.quit()
    return wrong


def shot(driver: Any, file: Path) -> None:
    """Photograph the whole page, down to a height that one still looks at."""
    height = min(2200, driver.execute_script("return document.documentElement.scrollHeight"))
    width = driver.execute_script("return innerWidth")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    made = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    file.write_bytes(base64.b64decode(made["data"]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
