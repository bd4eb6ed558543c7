"""What the notebooks show, looked at in headless Chromium.

With TUTORIAL_SCREENSHOTS=docs/images the pictures of the READMEs are renewed.
"""

import base64
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from selenium import webdriver

from tests.support.notebook_page import page_of

from .conftest import DETECTION
from .test_detection import draw_boxes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1000,1200",
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def look(chromium: webdriver.Chrome, run, folder: Path, name: str) -> dict:
    """Open a notebook's page; return what a person would notice."""
    assert run.error is None
    page = folder / f"{name}.html"
    page.write_text(page_of(run.notebook), "utf-8")
    chromium.get(page.as_uri())
    errors = [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
    return chromium.execute_async_script(
        """
        const done = arguments[0];
        const pictures = [...document.querySelectorAll("svg image")];
        const loads = pictures.map(picture => {
          const image = new Image();
          image.src = picture.getAttribute("href");
          return image.decode().then(() => image.naturalWidth, () => 0);
        });
        Promise.all(loads).then(widths => done({
          widths: widths,
          links: [...document.querySelectorAll("a[target=_blank]")].map(link => link.href),
          boxes: [...document.querySelectorAll("rect.box")].map(box => box.getBoundingClientRect().width),
          bars: [...document.querySelectorAll(".chart .bar")].map(
              bar => [...bar.children].reduce((sum, part) => sum + part.getBoundingClientRect().width, 0)),
          overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
          clipped: [...document.querySelectorAll(".frame svg")].filter(
              svg => svg.getBoundingClientRect().width < 40).length,
        }));
        """
    )


def keep_picture(chromium: webdriver.Chrome, name: str, heading: str) -> None:
    """Save what stands below a heading as a picture for the READMEs, if that was asked for."""
    folder = os.environ.get("TUTORIAL_SCREENSHOTS")
    if not folder:
        return
    top, bottom = chromium.execute_script(
        """
        const heading = [...document.querySelectorAll("h2")].find(h => h.textContent.includes(arguments[0]));
        let last = heading;
        while (last.nextElementSibling && last.nextElementSibling.tagName != "H2") {
          last = last.nextElementSibling;
          if (last.tagName == "PRE") last.style.display = "none";
        }
        return [heading.getBoundingClientRect().top + scrollY - 8, last.getBoundingClientRect().bottom + scrollY + 8];
        """,
        heading,
    )
    clip = {"x": 0, "y": top, "width": 1000, "height": bottom - top, "scale": 1}
    answer = chromium.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    picture = Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(Path(folder) / f"tutorial-{name}.png", optimize=True)


def test_classification(tutorial, standin, chromium, tmp_path):
    made = tutorial(standin)
    imported = made.run("import_api", replace={"tags_from_folders = False": "tags_from_folders = True"})
    seen = look(chromium, imported, tmp_path, "import")
    assert len(seen["widths"]) == 24
    assert min(seen["widths"]) > 0
    assert (seen["overflow"], seen["clipped"]) == (0, 0)
    (task,) = made.tasks()
    assert f"{standin.url}/tasks/{task['id']}" in seen["links"]
    keep_picture(chromium, "import", "What will be imported")

    assert made.run("export_api").error is None
    seen = look(chromium, made.run("convert_dataset"), tmp_path, "convert")
    assert min(seen["widths"]) > 0
    assert seen["overflow"] == 0
    assert len(seen["bars"]) == 3
    assert max(seen["bars"]) - min(seen["bars"]) < 1  # the classes have 20 images each
    keep_picture(chromium, "convert", "The result")


def test_detection(tutorial, standin, chromium, tmp_path):
    made = tutorial(standin, DETECTION)
    assert made.run("import_api").error is None
    draw_boxes(made, made.tasks()[0]["id"])
    seen = look(chromium, made.run("export_api"), tmp_path, "export")
    assert len(seen["widths"]) == 16
    assert min(seen["boxes"]) > 10
    assert seen["overflow"] == 0
    keep_picture(chromium, "detection", "The result")
    chromium.set_window_size(420, 900)
    again = made.run("export_api", replace={"overwrite = False": "overwrite = True"})
    assert look(chromium, again, tmp_path, "narrow")["overflow"] == 0
    chromium.set_window_size(1000, 1200)
