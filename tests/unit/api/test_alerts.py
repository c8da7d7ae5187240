"""The alert rules, tried by Prometheus' own tool: each fires when it should, and only then."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RULES = ROOT / "packaging" / "prometheus" / "valkeep.rules.yml"
CASES = sorted((ROOT / "tests" / "data" / "prometheus").glob("*.test.yml"))


def promtool(*words: str) -> str:
    """What it says when all is well."""
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.debian("prometheus")
def test_the_rules_are_rules() -> None:
    """Prometheus reads the file, and finds every alert in it."""
    alerts = len(re.findall(r"- alert:", RULES.read_text()))
    assert f"SUCCESS: {alerts} rules found" in promtool("check", "rules", str(RULES))


@pytest.mark.debian("prometheus")
def test_each_alert_fires_when_it_should() -> None:
    """Figures of a good and of a bad day raise what they should, with its words, and no more."""
    assert "SUCCESS" in promtool("test", "rules", *map(str, CASES))


def test_each_alert_has_a_day_on_which_it_fires_and_one_on_which_not() -> None:
    """No alert is without both kinds of case."""
    cases = "".join(file.read_text() for file in CASES)
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert alerts
    for alert in alerts:
        assert f"alertname: {alert}, exp_alerts: []" in cases, alert
        assert f"alertname: {alert}\n        exp_alerts:\n          - exp_labels" in cases, alert
