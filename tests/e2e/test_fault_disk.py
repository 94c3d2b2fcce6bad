"""The disk is full: what cannot be recorded is refused, no line is lost, and all goes on once there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.faults import OK, Faulty, check_left, crowd, serving, wait_until
from e2e.running import Place, free_port

SIZE = 8_000_000  # bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a small file system of its own, where that can be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "lastgang", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_disk_is_full(small_disk: Path, gru_only: Path) -> None:
    """Users, audit log and counters lie on it; what is already in memory or only read may still be answered."""
    place = Place(small_disk / "home", gru_only, free_port())
    place.home.mkdir(mode=0o700)
    with serving(place, LASTGANG_WORKERS="1") as running:
        faulty = Faulty(place, running)
        filler = small_disk / "filler"
        with crowd(place, faulty.tokens) as asking:
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4_096)):
                        pass
                except OSError:
                    pass
            wait_until(lambda: asking.good["503 audit-unavailable"] > 20, told=lambda: dict(asking.good))
            served = asking.served()
            asking.answers_on(30)
            during = asking.served() - served
            filler.unlink()
            asking.goes_on()
        assert during == 0
        asking.check("503 audit-unavailable", "503 users-unavailable")
        asking.tell("disk full", f"{asking.good[OK]} recorded")
        check_left(faulty, asking)
        assert running.stop() == 0
        assert "Traceback" not in running.output, running.output
