"""The page in headless Chromium, opened from a file as a person does."""

import itertools
import json
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from sklearn.datasets import load_digits

from tests.support.reports import DETECTION, environment, jpeg, report, write_dataset
from tests.support.script_runs import run_script
from toolkit.report import read_folder, search
from toolkit.report.make import make_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)

SENT = "Network.requestWillBeSent"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--proxy-server=http://127.0.0.1:9",  # closed: what the browser itself wants from its maker stays on this machine
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def opened(browser: webdriver.Chrome) -> Callable[..., webdriver.Chrome]:
    def open_page(page: Path, width: int = 1200, scheme: str = "light") -> webdriver.Chrome:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(page.as_uri())
        return browser

    return open_page


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 600 handwritten digits of scikit-learn."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    for number, (pixels, digit) in enumerate(zip(data.images[:600], data.target[:600], strict=True)):
        side = "training" if number % 5 else "validation"
        place = folder / "digits" / side / f"digit {digit}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9).astype("uint8")).save(place / f"{number:04d}.jpg", quality=92)
    (place / "broken.jpg").write_bytes(b"no picture")
    report(folder / "digits", folder)
    return folder


def requests_of(driver: webdriver.Chrome) -> list[str]:
    """Addresses that the page wanted since it was opened, but its own file and data in it."""
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    urls = [message["params"]["request"]["url"] for message in messages if message["method"] == SENT]
    return [url for url in urls if not url.startswith("data:") and not url.endswith("/report.html")]


def check_quiet(driver: webdriver.Chrome) -> None:
    assert driver.get_log("browser") == []
    assert requests_of(driver) == []


def fits(driver: webdriver.Chrome) -> bool:
    return bool(driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"))


def colours(driver: webdriver.Chrome) -> tuple[int, int]:
    """Brightness of the page and of its text, 0 to 255."""
    script = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    page, ink = ([int(part) for part in value[4:-1].split(",")] for value in driver.execute_script(script))
    return sum(page) // 3, sum(ink) // 3


def test_a_page_that_is_not_quiet_would_be_noticed(tmp_path: Path, opened: Callable[..., webdriver.Chrome]) -> None:
    page = tmp_path / "report.html"
    page.write_text("<img src='http://127.0.0.1:9/x.png'><script src='gone.js'></script>", "utf-8")
    driver = opened(page)
    assert driver.get_log("browser")
    assert {url.rpartition("/")[2] for url in requests_of(driver)} >= {"x.png", "gone.js"}


def test_digits_show_the_right_numbers(digits: Path, opened: Callable[..., webdriver.Chrome]) -> None:
    driver = opened(digits / "report.html")
    shown = {
        name: int(driver.find_element(By.ID, name).get_attribute("value") or -1)
        for name in ("images", "classes", "broken")
    }
    assert shown == {"images": 601, "classes": 10, "broken": 1}
    assert driver.find_element(By.ID, "images").text == "601"
    rows = driver.execute_script(
        "return [...document.querySelectorAll('#class-table tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    for label, training, validation, total in rows:
        on_disk = [len(list((digits / "digits" / side / label).iterdir())) for side in ("training", "validation")]
        assert [int(training), int(validation), int(total)] == [*on_disk, sum(on_disk)]
    bars = driver.execute_script(
        "return [...document.querySelectorAll('[aria-labelledby=h-classes] figure > svg g')]"
        ".map(g => [...g.querySelectorAll('rect:not(.track)')].map(r => r.getBoundingClientRect().width))"
    )
    assert len(bars) == 10
    longest = max(range(10), key=lambda index: int(rows[index][3]))
    for row, (training_bar, validation_bar) in zip(rows, bars, strict=True):
        assert training_bar / sum(bars[longest]) == pytest.approx(int(row[1]) / int(rows[longest][3]), abs=0.01)
        assert validation_bar / sum(bars[longest]) == pytest.approx(int(row[2]) / int(rows[longest][3]), abs=0.01)
    check_quiet(driver)


def test_waiting_thumbnails_come_when_asked_for_by_keyboard(
    digits: Path, opened: Callable[..., webdriver.Chrome]
) -> None:
    driver = opened(digits / "report.html")
    count = "return document.querySelectorAll('#class-0 image').length"
    assert driver.execute_script(count) == 12
    summary = driver.find_element(By.CSS_SELECTOR, "#class-0 summary")
    driver.execute_script("arguments[0].focus()", summary)
    driver.switch_to.active_element.send_keys("\ue007")
    driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")
    assert driver.execute_script(count) == 48
    loaded = driver.execute_async_script(
        "Promise.all([...document.querySelectorAll('#class-0 image')].map(i => { const p = new Image();"
        " p.src = i.href.baseVal; return p.decode().then(() => p.naturalWidth) })).then(arguments[0])"
    )
    assert loaded == [8] * 48
    check_quiet(driver)


def enter(driver: webdriver.Chrome, control: str, value: str) -> None:
    driver.execute_script(
        "const c = document.getElementById(arguments[0]); c.value = arguments[1];"
        " c.dispatchEvent(new Event('input', {bubbles: true}))",
        control,
        value,
    )


SHOWN = (
    "return [...document.querySelectorAll('#sheet ul.tiles > li')].filter(t => t.checkVisibility())"
    ".map(t => t.querySelector('.name').textContent)"
)


def test_names_are_searched_classes_and_splits_filtered_and_sheets_sorted(
    digits: Path, opened: Callable[..., webdriver.Chrome]
) -> None:
    driver = opened(digits / "report.html")
    everything = {path.name for path in (digits / "digits").rglob("*.jpg")}
    enter(driver, "search", "000")
    shown = driver.execute_script(SHOWN)
    assert shown
    assert set(shown) <= {name for name in everything if "000" in name}
    found = len([name for name in everything if "000" in name])
    assert driver.find_element(By.ID, "found").text == f"{found} of 601 images, {len(shown)} drawn"
    enter(driver, "search", "")
    enter(driver, "choose-side", "validation")
    validation = {path.name for path in (digits / "digits/validation").rglob("*.jpg")}
    assert set(driver.execute_script(SHOWN)) <= validation
    enter(driver, "choose-side", "")
    enter(driver, "choose-class", "3")
    assert set(driver.execute_script(SHOWN)) <= {path.name for path in (digits / "digits").glob("*/digit 3/*")}
    enter(driver, "order", "name")
    shown = driver.execute_script(SHOWN)
    assert shown == sorted(shown)
    check_quiet(driver)


def test_a_thumbnail_enlarges_with_its_boxes_by_keyboard(
    tmp_path: Path, opened: Callable[..., webdriver.Chrome]
) -> None:
    report(DETECTION / "coco_1.0.zip", tmp_path)
    driver = opened(tmp_path / "report.html", 360)
    tile = driver.find_element(By.CSS_SELECTOR, "#class-0 button.frame")
    driver.execute_script("arguments[0].focus()", tile)
    driver.switch_to.active_element.send_keys("\ue007")
    dialog = driver.find_element(By.ID, "large")
    assert dialog.is_displayed()
    assert driver.find_element(By.ID, "large-name").text == "a/1.jpg (default)"
    assert len(dialog.find_elements(By.CSS_SELECTOR, ".box")) == 2
    assert fits(driver)
    driver.find_element(By.ID, "next").click()
    assert driver.find_element(By.ID, "large-name").text == "a/2.jpg (default)"
    driver.switch_to.active_element.send_keys("\ue00c")
    assert not dialog.is_displayed()
    check_quiet(driver)


def test_names_are_whole_on_a_phone(tmp_path: Path, opened: Callable[..., webdriver.Chrome]) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (2, 1)})
    name = f"{'garden_north_' * 5}1.jpg"
    (dataset / "training/cat/t0000.jpg").rename(dataset / "training/cat" / name)
    report(dataset, tmp_path)
    driver = opened(tmp_path / "report.html", 360)
    widths = driver.execute_script(
        "return [...document.querySelectorAll('.name')]"
        ".map(n => [n.scrollWidth, n.clientWidth, n.scrollHeight, n.clientHeight])"
    )
    assert all(wide <= there and high <= tall for wide, there, high, tall in widths)
    check_quiet(driver)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_sideways_scrolling_on_a_phone(digits: Path, opened: Callable[..., webdriver.Chrome], scheme: str) -> None:
    driver = opened(digits / "report.html", 360, scheme)
    assert fits(driver)
    driver.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert fits(driver)
    page, ink = colours(driver)
    assert (page > 200 > 100 > ink) if scheme == "light" else (page < 60 < 180 < ink)
    check_quiet(driver)


@pytest.mark.parametrize("name", ["coco_1.0", "yolo_1.1", "pascal_voc_1.1", "cvat_for_images_1.1"])
def test_detection(name: str, tmp_path: Path, opened: Callable[..., webdriver.Chrome]) -> None:
    report(DETECTION / f"{name}.zip", tmp_path)
    driver = opened(tmp_path / "report.html", 360, "dark")
    assert driver.find_element(By.ID, "boxes").text == "4"
    assert fits(driver)
    drawn = driver.execute_script(
        "const tile = [...document.querySelectorAll('#class-0 svg[role=img]')]"
        ".find(s => s.getAttribute('aria-label').startsWith('a/1.jpg'));"
        "const all = tile.querySelector('image').getBoundingClientRect();"
        "return [...tile.querySelectorAll('.box')].map(b => { const r = b.getBBox(); const s = all.width / 320;"
        " return [b.querySelector('title').textContent, r.x, r.y, r.width, r.height, s > 0] })"
    )
    assert sorted(drawn) == [["car", 10, 20, 100, 100, True], ["person", 200, 30, 60, 170, True]]
    check_quiet(driver)


def test_long_and_hostile_names_neither_run_nor_widen_the_page(
    tmp_path: Path, opened: Callable[..., webdriver.Chrome]
) -> None:
    counts = {
        "W" * 200: (3, 1),
        "<img src=x onerror=\"document.title='owned'\">": (3, 1),
        "日本語" * 20: (3, 1),
        "a b " * 40: (1, 0),
    }
    dataset = write_dataset(tmp_path / "d", counts)
    for place in (dataset / "training").iterdir():
        (place / f"{'n' * 240}.jpg").write_bytes(b"broken")
    report(dataset, tmp_path, "--title", "<script>document.title='owned'</script>")
    driver = opened(tmp_path / "report.html", 360)
    driver.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert fits(driver)
    assert "owned" in driver.title, "the title is text"
    assert driver.title.startswith("<script>")
    check_quiet(driver)


def test_many_subsets_fit_on_a_phone(tmp_path: Path, opened: Callable[..., webdriver.Chrome]) -> None:
    with zipfile.ZipFile(DETECTION / "coco_1.0.zip") as recorded, zipfile.ZipFile(tmp_path / "x.zip", "w") as many:
        labels = recorded.read("annotations/instances_default.json")
        for number in range(9):
            many.writestr(f"annotations/instances_subset_number_{number}.json", labels)
    report(tmp_path / "x.zip", tmp_path)
    driver = opened(tmp_path / "report.html", 360)
    driver.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert fits(driver)
    check_quiet(driver)


def test_headings_names_and_tables_are_there_for_screen_readers(
    digits: Path, opened: Callable[..., webdriver.Chrome]
) -> None:
    driver = opened(digits / "report.html")
    levels = driver.execute_script("return [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    nameless = driver.execute_script(
        "return [...document.querySelectorAll('svg')].filter(s => !s.closest('[aria-hidden=true]')"
        " && s.getAttribute('role') == 'img' && !s.getAttribute('aria-label')).length"
    )
    assert nameless == 0
    assert driver.execute_script("return document.documentElement.lang") == "en"
    assert driver.execute_script("return document.querySelectorAll('th:not([scope])').length") == 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a converted export with folders: 700 images, of each class 14 thumbnails."""
    folder = tmp_path_factory.mktemp("folders")
    with zipfile.ZipFile(folder / "project_id_1.zip", "w") as export:
        for number in range(700):
            label = "<b>é🌼" if number % 7 == 0 else "cat"
            export.writestr(f"{label}/n{number % 3}/{label}_{number:04d}.jpg", jpeg(number, (12, 12)))
    arguments = ("--base-file", folder / "project_id_1.zip", "--output-dir", folder / "dataset")
    done = run_script("convert_dataset", *arguments, cwd=folder, environment=environment())
    assert done.returncode == 0, done.stderr
    report(folder / "dataset", folder, "--thumbnails", 14)
    return folder


LISTED = "return [...document.querySelectorAll('#others li')].filter(n => n.checkVisibility()).map(n => n.textContent)"


def test_the_search_finds_images_without_a_thumbnail_and_the_paths_of_frames(
    folders: Path, opened: Callable[..., webdriver.Chrome]
) -> None:
    driver = opened(folders / "report.html")
    sides = ("training", "validation")
    side_of = {path.name: side for side in sides for path in (folders / "dataset" / side).glob("*/*.jpg")}
    assert len(side_of) == 700

    def look_for(query: str) -> tuple[list[str], list[str], str]:
        enter(driver, "search", query)
        return driver.execute_script(SHOWN), driver.execute_script(LISTED), driver.find_element(By.ID, "found").text

    for number in (1, 7, 350, 699):
        label = "<b>é🌼" if number % 7 == 0 else "cat"
        name, frame = f"n{number % 3}__{label}_{number:04d}.jpg", f"n{number % 3}/{label}_{number:04d}.jpg"
        for query in (name, frame, frame.upper(), unicodedata.normalize("NFD", frame)):
            drawn, listed, found = look_for(query)
            expected = ([name], []) if drawn else ([], [f"{name} ({frame}): {label}; {side_of[name]}"])
            assert (drawn, listed) == expected
            assert found == f"1 of 700 images, {len(drawn)} drawn"
    drawn, listed, found = look_for("n1/")
    count = sum(name.startswith("n1__") for name in side_of)
    assert found == f"{count} of 700 images, {len(drawn)} drawn"
    assert listed[200:] == [f"… and {count - len(drawn) - 200} more"]
    assert look_for("no such name") == ([], [], "0 of 700 images, 0 drawn")
    check_quiet(driver)


def test_a_chosen_class_shows_all_its_thumbnails(folders: Path, opened: Callable[..., webdriver.Chrome]) -> None:
    driver = opened(folders / "report.html", 360)
    enter(driver, "choose-class", "1")
    assert len(driver.execute_script(SHOWN)) == 14
    assert driver.find_element(By.ID, "found").text == "600 of 700 images, 14 drawn"
    assert fits(driver)
    enter(driver, "choose-side", "validation")
    count = len(list((folders / "dataset/validation/cat").iterdir()))
    drawn = len(driver.execute_script(SHOWN))
    assert driver.find_element(By.ID, "found").text == f"{count} of 700 images, {drawn} drawn"
    assert len(driver.execute_script(LISTED)) == count - drawn
    enter(driver, "choose-side", "")
    enter(driver, "choose-class", "")
    enter(driver, "order", "name")
    assert len(driver.execute_script(SHOWN)) == 28
    assert driver.find_element(By.ID, "found").text == ""
    check_quiet(driver)


def test_of_a_detection_export_an_image_under_two_classes_counts_once(
    tmp_path: Path, opened: Callable[..., webdriver.Chrome]
) -> None:
    report(DETECTION / "coco_1.0.zip", tmp_path, "--thumbnails", 1)
    driver = opened(tmp_path / "report.html")
    for query, chosen, count in (("a/", "", 2), ("a/1.jpg", "", 1), ("", "0", 2), ("", "1", 2)):
        enter(driver, "search", query)
        enter(driver, "choose-class", chosen)
        drawn, listed = set(driver.execute_script(SHOWN)), driver.execute_script(LISTED)
        assert len(drawn) + len(listed) == count
        assert driver.find_element(By.ID, "found").text == f"{count} of 7 images, {len(drawn)} drawn"
    check_quiet(driver)


def test_the_names_of_very_many_images_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., webdriver.Chrome]
) -> None:
    for module in (search, read_folder):
        monkeypatch.setattr(module, "MOST_SEARCHED", 20)
    dataset = write_dataset(tmp_path / "d", {"cat": (20, 5)})

    @contextmanager
    def progress(_what: str, _total: int) -> Iterator[Callable[[], None]]:
        yield lambda: None

    (tmp_path / "report.html").write_text(make_report(dataset, None, 14, 0, progress).page, "utf-8")
    driver = opened(tmp_path / "report.html")
    assert (
        "The search finds only these: the names of 25 images are too many" in driver.find_element(By.ID, "sheet").text
    )
    assert driver.execute_script("return document.getElementById('names')") is None
    enter(driver, "search", "t0000")
    assert driver.execute_script(SHOWN) == ["t0000.jpg"]
    assert driver.find_element(By.ID, "found").text == "1 drawn"
    enter(driver, "search", "")
    enter(driver, "choose-side", "validation")
    assert len(driver.execute_script(SHOWN)) == int(driver.find_element(By.ID, "found").text.split()[0]) > 0
    check_quiet(driver)
