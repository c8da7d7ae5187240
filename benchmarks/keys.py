"""Row 6: a restore by keys that replaces, against ``valkey-cli --pipe`` of the same keys."""

import json
import subprocess
from statistics import median

from benchmarks.stage import Stage, engine_beside, seconds


def restore_keys(stage: Stage, *, keys: int, rounds: int) -> None:
    """Both in turn into one target that has all the keys already; keys a second, medians."""
    print(
        f"row 6: restore of {keys:,} keys / valkey-cli --pipe of them (at least 0.5x)", flush=True
    )
    commands = stage.folder / "commands"
    commands.write_bytes(b"".join(_set(number) for number in range(keys)))
    stage.ask("FLUSHALL")
    _pipe(stage, stage.port)
    with engine_beside(stage) as port:
        for cache, at in (("small", stage.port), ("target", port)):
            url = f"valkey://127.0.0.1:{at}"
            stage.command(type="add-cache", name=cache, url=url, vault="directory")
        made = stage.command(type="request-backup", cache="small", name="keys")
        _ended(stage, f"/v1/backups/{made['backup_id']}", what="backup")
        _pipe(stage, port)
        _ours(stage, keys)
        pairs = [(_ours(stage, keys), _pipe(stage, port)) for _ in range(rounds)]
    theirs = median(keys / took for _, took in pairs)
    for what, at in (("writing", 0), ("the whole, with plan and load", 1)):
        ours = [keys / own[at] for own, _ in pairs]
        ratios = sorted(other / own[at] for own, other in pairs)
        told = f"{median(ratios):.2f}x (from {ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} pairs)"
        print(f"    {what}: ours {median(ours):,.0f}/s, theirs {theirs:,.0f}/s: {told}", flush=True)


def _set(number: int) -> bytes:
    key, value = f"key:{number:08d}", f"value-{number}-abcdefghijklmnop"
    return f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${len(value)}\r\n{value}\r\n".encode()


def _pipe(stage: Stage, port: int) -> float:
    began = seconds()
    with (stage.folder / "commands").open("rb") as commands:
        subprocess.run(
            [stage.cli, "-p", str(port), "--pipe"], stdin=commands, check=True, capture_output=True
        )
    return seconds() - began


def _ours(stage: Stage, keys: int) -> tuple[float, float]:
    """Seconds that keys were written, and seconds in all."""
    asked = stage.command(
        type="request-restore",
        backup="small/keys",
        to="target",
        replace=True,
        safety_backup=False,
        method="keys",
        keys={"on_conflict": "replace"},
    )
    found = _ended(stage, f"/v1/restores/{asked['restore_id']}", what="restore")
    result = found["result"]
    assert isinstance(result, dict)
    assert result["moved"]["written"] == keys, result
    return float(result["served_seconds"]), float(result["total_seconds"])


def _ended(stage: Stage, route: str, *, what: str) -> dict[str, object]:
    while True:
        found: dict[str, object] = json.loads(stage.client.get(route, {"wait": 60}))[what]
        if found["phase"] in ("complete", "completed", "failed"):
            assert found["phase"] != "failed", found
            return found
