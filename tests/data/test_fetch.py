from __future__ import annotations

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.data import download, fetch
from harness.data.sources.fashion_mnist import FILES, PublishedFile
from harness.errors import DataError, InputError

CONTENTS = {f"part-{number}": bytes([number]) * 200_000 for number in range(4)}
PUBLISHED = tuple(
    PublishedFile(stem, len(content), hashlib.sha256(content).hexdigest()) for stem, content in CONTENTS.items()
)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body, claimed = self.server.answers.get(self.path, (404, b"gone", 4))
        self.server.asked.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(claimed))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "FILES", PUBLISHED)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.answers, http.asked = {}, []
        for stem, content in CONTENTS.items():
            packed = gzip.compress(content)
            http.answers[f"/{stem}.gz"] = (200, packed, len(packed))
        http.url = f"http://127.0.0.1:{http.server_port}/"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def test_good_files_arrive_whole_with_progress_and_are_kept(server, tmp_path):
    seen = []
    folder = fetch("fashion-mnist", tmp_path / "a" / "b", base_url=server.url, progress=lambda *now: seen.append(now))
    assert folder == tmp_path / "a" / "b"
    assert {path.name: gzip.decompress(path.read_bytes()) for path in folder.iterdir()} == {
        f"{stem}.gz": content for stem, content in CONTENTS.items()
    }
    name, received, total = seen[-1]
    assert (name, received) == ("part-3.gz", total)
    server.asked.clear()
    fetch("fashion-mnist", folder, base_url=server.url)
    assert server.asked == []


def test_a_damaged_file_that_lies_there_is_fetched_again(server, tmp_path):
    (tmp_path / "part-2.gz").write_bytes(b"damaged")
    fetch("fashion-mnist", tmp_path, base_url=server.url)
    assert gzip.decompress((tmp_path / "part-2.gz").read_bytes()) == CONTENTS["part-2"]


def packed(content):
    body = gzip.compress(content)
    return (200, body, len(body))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (packed(b"x" * 200_000), "not the published part-0"),
        (packed(bytes([0]) * 200_001), "not the published part-0"),
        (packed(bytes([0]) * 199_999), "not the published part-0"),
        ((200, b"not gzip", 8), "not the published part-0"),
        ((200, packed(CONTENTS["part-0"])[1][:50], 50), "not the published part-0"),
        ((200, b"short", 5000), "ended after 5 of 5,000 bytes"),
        ((200, b"x" * 400_000, 400_000), "sends more than 265,536 bytes"),
        ((404, b"gone", 4), "answered 404 Not Found"),
        ((503, b"busy", 4), "answered 503"),
    ],
)
def test_wrong_answers_leave_nothing_behind(server, tmp_path, answer, message):
    server.answers["/part-0.gz"] = answer
    with pytest.raises(DataError, match=message) as raised:
        fetch("fashion-mnist", tmp_path, base_url=server.url)
    assert "part-0.gz" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_nobody_listening_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match=r"cannot be fetched .*check the network"):
        fetch("fashion-mnist", tmp_path, base_url="http://127.0.0.1:9/")
    assert list(tmp_path.iterdir()) == []


def test_only_http_addresses_are_opened(tmp_path):
    with pytest.raises(DataError, match="starts with http"):
        fetch("fashion-mnist", tmp_path, base_url=tmp_path.as_uri())


def test_tasks_without_files_and_unknown_ones_are_refused(tmp_path):
    with pytest.raises(DataError, match="nothing to fetch"):
        fetch("digits", tmp_path)
    with pytest.raises(InputError, match="did you mean 'fashion-mnist'"):
        fetch("fashion_mnist", tmp_path)


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        fetch("fashion-mnist", tmp_path / "file" / "below", base_url=server.url)


def test_pinned_files_are_the_four_of_fashion_mnist():
    assert [file.archive for file in FILES] == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    assert sum(file.plain_bytes for file in FILES) == 70_000 * (28 * 28 + 1) + 2 * 16 + 2 * 8
