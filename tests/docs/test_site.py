"""The documentation is built as a site without a warning; links lead somewhere, nothing comes from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r"(https?:)?//")
LOADING = {"audio", "embed", "iframe", "img", "input", "script", "source", "track", "video"}
"""Elements that load what their ``src`` names."""


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.anchors |= {known[name] for name in ("id", "name") if known.get(name)}
        if tag == "a" and known.get("href") is not None:
            self.links.append(known["href"])
        if tag == "link" and known.get("rel") != "canonical":
            self.loads.append(known["href"])
        if tag in LOADING and known.get("src"):
            self.loads.append(known["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return {path: Page(path.read_text()) for path in folder.rglob("*.html")}


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site):
    dead = []
    for path, page in site.items():
        for link in page.links:
            if urlsplit(link).scheme or ELSEWHERE.match(link) or path.name == "404.html":
                continue
            target, anchor = urldefrag(link)
            file = (path.parent / unquote(target)).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (file in site and unquote(anchor) not in site[file].anchors):
                dead.append(f"{path.name}: {link}")
    assert not dead
    assert sum(len(page.links) for page in site.values()) > 100


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    loads = {(path.name, load) for path, page in site.items() for load in page.loads}
    assert any(load.endswith(".js") for _, load in loads)
    assert not [each for each in loads if ELSEWHERE.match(each[1])]
    styles = [path.read_text() for page in site for path in page.parent.rglob("*.css")]
    assert not [style for style in styles if re.search(r"(url\(['\"]?|@import\s*['\"]?)(https?:)?//", style)]


@pytest.mark.slow
def test_the_reference_shows_docstrings_as_they_are_meant(site):
    (text,) = [path.read_text() for path in site if path.name == "api.html"]
    assert ":class:" not in text
    assert "doctest:" not in text
    assert "&gt;&gt;&gt;" in text
