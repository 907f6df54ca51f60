"""The built documentation site: its links, and its pages in a browser.

``python -m sphinx docs docs/_build`` builds it. Without that these tests are skipped, and those in a browser
without one.
"""

import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parent.parent / "docs" / "_build"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("*.html"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

pytestmark = pytest.mark.skipif(not PAGES, reason="the site has not been built")


class _Page(HTMLParser):
    """The links of a page, and what they may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and not (tag == "link" and value.startswith("data:")):
                self.links.append(value)
            if name == "id" and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def pages() -> dict[str, _Page]:
    return {name: _Page((SITE / name).read_text(encoding="utf-8")) for name in PAGES}


def test_no_link_is_broken(pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or name == "search.html":
                continue
            target = unquote(parts.path) or name
            there = (SITE / target).exists()
            if not there or (target in pages and unquote(parts.fragment) not in pages[target].anchors):
                broken.append(f"{name}: {link}")
    assert not broken


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no browser")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["screen", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_pages_in_a_browser(browser, name, width, height):
    """Nothing is wider than the screen, and the console has no error."""
    page = browser.new_page(viewport={"width": width, "height": height})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    try:
        page.goto((SITE / name).as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    finally:
        page.close()
    assert not errors
    assert wide <= 0
