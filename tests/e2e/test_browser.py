"""The page as a person sees it, in a real browser: it loads, logs in, makes a forecast and calls nobody else."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from e2e.running import PASSWORD, PROJECT, Place, Running
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expect
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 60  # seconds
Find = Callable[[str], WebElement]


@pytest.fixture(scope="module")
def browser(server: Running, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Give a headless Chromium that trusts the service's certificate and can reach this machine only."""
    installed = subprocess.run(
        [PROJECT / "scripts" / "install-browser"], capture_output=True, text=True, timeout=660, check=False
    )
    if installed.returncode:
        pytest.skip(installed.stderr.strip()[-400:])
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        "--headless=new",
        "--disable-dev-shm-usage",  # a container's is small
        "--window-size=1200,1600",
        f"--user-data-dir={tmp_path_factory.mktemp('browser')}",
        f"--ignore-certificate-errors-spki-list={_fingerprint(place.home / 'tls.crt')}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def _fingerprint(certificate: Path) -> str:
    """Return what Chromium knows a certificate's key by."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


@pytest.fixture
def find(browser: webdriver.Chrome, place: Place) -> Find:
    """Open the page; give what waits until an element can be clicked and returns it."""
    browser.get(f"{place.url}/")
    wait = WebDriverWait(browser, PATIENCE)
    return lambda selector: wait.until(expect.element_to_be_clickable((By.CSS_SELECTOR, selector)))


def requested(browser: webdriver.Chrome) -> list[str]:
    """Return the URL of every request over a network; Chromium's own pages make others within it."""
    entries: list[dict[str, Any]] = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    urls = [one["params"]["request"]["url"] for one in entries if one["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if url.startswith(("http", "ws"))]


def test_a_forecast_is_made_from_the_page(browser: webdriver.Chrome, find: Find, place: Place) -> None:
    """Authorize with name and password, choose the sample file, execute: 200 and eight powers in kW.

    All the way, nothing is asked of another host and the browser's console stays without a complaint.
    """
    assert browser.title == "Lastgang"
    find(".auth-wrapper .authorize").click()
    find("#oauth_username").send_keys("ada")
    find("#oauth_password").send_keys(PASSWORD)
    find(".auth-btn-wrapper .authorize").click()
    find(".auth-btn-wrapper .auth:not(.authorize)")  # "Logout": the token is there
    find(".auth-btn-wrapper .btn-done").click()  # "Close"
    find("#operations-forecasts-forecast .opblock-summary-control").click()
    find("#operations-forecasts-forecast .try-out__btn").click()
    Select(find("#operations-forecasts-forecast .parameters select")).select_by_visible_text("gru")
    choose = browser.find_element(By.CSS_SELECTOR, "#operations-forecasts-forecast input[type=file]")
    choose.send_keys(str(PROJECT / "samples" / "week.csv"))
    find("#operations-forecasts-forecast .execute").click()
    live = "#operations-forecasts-forecast .live-responses-table .response"
    assert find(f"{live} .response-col_status").text.split()[0] == "200"
    answer = json.loads(find(f"{live} .highlight-code code").text)
    assert (answer["model"], answer["unit"], len(answer["forecast"])) == ("gru", "kW", 8)

    urls = requested(browser)
    assert {f"{place.url}{path}" for path in ("/", "/docs.json", "/token", "/forecast/gru")} <= {
        url.partition("?")[0] for url in urls
    }, urls
    assert {urlsplit(url).netloc for url in urls} == {urlsplit(place.url).netloc}
    console: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert [one for one in console if one["level"] in {"WARNING", "SEVERE"}] == []
