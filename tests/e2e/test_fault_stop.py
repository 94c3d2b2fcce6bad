"""SIGTERM under load: the service first says that it leaves, answers what runs, ends with 0 and loses nothing."""

import signal
from pathlib import Path

import pytest
from e2e.faults import CONNECTION, OK, Faulty, audit, crowd, lines, recorded, serving, status, wait_until
from e2e.running import Place, free_port

LEAVE = 3  # seconds


def test_sigterm_under_load(tmp_path_factory: pytest.TempPathFactory, gru_only: Path) -> None:
    """Not ready before anything fails; every answer that a client got is recorded, and each worker tells its end."""
    place = Place(tmp_path_factory.mktemp("leaving"), gru_only, free_port())
    with serving(place, LASTGANG_DRAIN_SECONDS=str(LEAVE)) as running:
        faulty = Faulty(place, running)
        with crowd(place, faulty.tokens) as asking:
            for worker in faulty.workers():
                worker.send_signal(signal.SIGTERM)
            wait_until(lambda: status(place, "/readyz") == 503)
            failed = asking.good.total() - asking.good[OK]
            served = asking.served()
            ended = running.stop()
            after = asking.served() - served
        assert (failed, ended) == (0, 0)
        assert after > 0
        assert "Traceback" not in running.output
        assert "ERROR" not in running.output
    asking.check(*CONNECTION, "503 service-unavailable")
    asking.tell("SIGTERM", f"{after} answers after it was not ready")
    assert audit(place, "verify").returncode == 0
    assert asking.requests - recorded(place) == set()
    events = [(line["event"], line["pid"]) for line in lines(place) if line["event"].startswith("worker.")]
    assert {pid for event, pid in events if event == "worker.stop"} >= {one for event, one in events[:2]}
