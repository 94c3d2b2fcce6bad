"""The example for Prometheus: its files are good, and name no metric that there is not."""

import re
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from conftest import PROJECT
from e2e.running import free_port
from test_metrics import documented

EXAMPLE = PROJECT / "deploy" / "observability"
CONSOLE = EXAMPLE / "consoles" / "lastgang.html"
SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.fixture(scope="module", autouse=True)
def _prometheus() -> None:
    """Have Prometheus and promtool, as Debian ships them."""
    subprocess.run([PROJECT / "scripts" / "install-prometheus"], check=True, timeout=700)


@pytest.mark.parametrize("what", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_finds_nothing_wrong(what: list[str]) -> None:
    """The configuration and its rules can be read, and each alert fires when it should and not otherwise."""
    done = subprocess.run(["promtool", *what], cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """The tests of the rules name each of them."""
    alerts = re.findall(r"- alert: (\w+)", (EXAMPLE / "alerts.yml").read_text())
    tested = re.findall(r"alertname=\"(\w+)\"", (EXAMPLE / "alerts_test.yml").read_text())
    assert sorted(alerts) == sorted(tested)


@pytest.mark.parametrize("name", ["alerts.yml", "consoles/lastgang.html"])
def test_every_metric_that_is_asked_for_exists(name: str) -> None:
    """A metric that is renamed must not leave an alert behind that never fires."""
    asked = set(re.findall(r"\blastgang_[a-z_]+", (EXAMPLE / name).read_text()))
    assert asked
    known = {
        name + suffix for name, (kind, _) in documented().items() for suffix in ("", *SUFFIXES * (kind == "histogram"))
    }
    assert asked <= known


@pytest.fixture
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a Prometheus that runs with the example's files."""
    port = free_port()
    options = [
        f"--config.file={EXAMPLE / 'prometheus.yml'}",
        f"--web.console.templates={EXAMPLE / 'consoles'}",
        f"--storage.tsdb.path={tmp_path_factory.mktemp('data')}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(["prometheus", *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("Server is ready" in line for line in process.stderr)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.communicate()


def test_the_dashboard_can_be_opened(prometheus: str) -> None:
    """Prometheus makes a page of it, and has each file that the page wants."""
    with urllib.request.urlopen(f"{prometheus}/consoles/lastgang.html?minutes=3", timeout=10) as answer:
        page = answer.read().decode()
    assert page.count('class="tile ') == page.count("<b>") == 8
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert urllib.request.urlopen(prometheus + address, timeout=10).status == 200
