"""The scan fails on what scanners find, and says what they could not look up."""

from pathlib import Path

import pytest

from scripts.scan import ScannerFailed, judged, main, weaknesses

VULNERABLE = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["1.1"], "description": "bad"}
REPORT = {
    "dependencies": [
        {"name": "good", "version": "2.0", "vulns": []},
        {"name": "bad", "version": "1.0", "vulns": [VULNERABLE]},
        {"name": "unheard", "skip_reason": "Dependency not found on PyPI and could not be audited: unheard (3.0)"},
    ],
}


def test_an_advisory_is_named_with_its_remedy_and_what_could_not_be_looked_up_is_counted() -> None:
    assert judged(REPORT, {}) == (["bad 1.0: PYSEC-2026-1, mended in 1.1"], ["unheard"], 3)


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "CVE-2026-1"])
def test_an_exception_goes_by_any_name_of_the_advisory(name: str) -> None:
    assert judged(REPORT, {name: "not reached"})[0] == []


def test_bandit_finds_what_is_planted(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("import yaml\nyaml.load(open('a'))\n")
    (found,) = weaknesses([str(planted)])
    assert "planted.py:2: B506 medium" in found


def test_bandit_says_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def\n")
    with pytest.raises(ScannerFailed, match=r"broken\.py"):
        weaknesses([str(tmp_path)])


def test_the_command_fails_on_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted, lock = tmp_path / "planted.py", tmp_path / "some.lock"
    planted.write_text("eval(input())\n")
    lock.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    assert main([str(planted), "--lock", str(lock)]) == 1
    said = capsys.readouterr().out
    assert "B307" in said
    assert "bandit: 1 findings" in said
    assert "for 1 packages" in said


def test_the_command_says_when_a_scanner_did_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = tmp_path / "fine.py"
    planted.write_text("pass\n")
    assert main([str(planted), "--lock", str(tmp_path / "missing.lock")]) == 2
    assert "missing.lock" in capsys.readouterr().err
