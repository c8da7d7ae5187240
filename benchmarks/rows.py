"""The rows: what is measured against what, in pairs that take turns (A B A B …)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.stage import BUCKET, KEY, RECIPIENT, SECRET, Stage, Took, seconds

MIB = 1 << 20


def pairs(rounds: int, *, ours: Callable[[], Took], theirs: Callable[[], float]) -> None:
    """Run both in turn, and print the medians and the median of the ratios theirs / ours."""
    ours(), theirs()
    times = [(ours(), theirs()) for _ in range(rounds)]
    other = median(t for _, t in times)
    for what in ("stored", "complete"):
        own = median(getattr(o, what) for o, _ in times)
        ratios = sorted(t / getattr(o, what) for o, t in times)
        told = f"{median(ratios):.2f}x (from {ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} pairs)"
        print(f"    until {what}: ours {own:.2f} s, theirs {other:.2f} s: {told}", flush=True)


def to_directory(stage: Stage, rounds: int) -> None:
    """Row 1: a backup to a directory against ``valkey-cli --rdb FILE``."""
    print("row 1: backup to a directory / valkey-cli --rdb FILE (at least 1.0x)", flush=True)
    target = stage.folder / "theirs.rdb"
    print("  by replication", flush=True)
    pairs(rounds, ours=lambda: stage.backup("replicated"), theirs=lambda: _dump(stage, target))
    print("  by bgsave", flush=True)
    pairs(rounds, ours=lambda: stage.backup("saved"), theirs=lambda: _dump(stage, target))


def encrypted(stage: Stage, rounds: int) -> None:
    """Row 1 with encryption: against the pipe that does the same with programs."""
    print("row 1, encrypted: / valkey-cli --rdb - | zstd -1 | age -r RECIPIENT -o FILE", flush=True)
    age = shutil.which("age")
    if age is None or shutil.which("zstd") is None:
        print("    not measured: there is no age or no zstd program here")
        return
    target = stage.folder / "theirs.rdb.zst.age"
    seal = [age, "-r", RECIPIENT, "-o", str(target)]
    pairs(rounds, ours=lambda: stage.backup("encrypted"), theirs=lambda: _pipe(stage, (seal, {})))


def to_s3(stage: Stage, rounds: int) -> None:
    """Row 2: a backup to S3 on loopback against the pipes people write."""
    print("row 2: backup to S3 / valkey-cli --rdb - | zstd -1 | uploader (at least 1.0x)")
    zstd, aws = shutil.which("zstd"), shutil.which("aws")
    if zstd is None:
        print("    not measured: there is no zstd program here")
        return
    print("  against rclone rcat", flush=True)
    pairs(rounds, ours=lambda: stage.backup("in-s3"), theirs=lambda: _pipe(stage, _rcat(stage)))
    if aws is None or not _runs(aws):
        print("  against aws s3 cp: not measured, there is no aws program here")
        return
    print("  against aws s3 cp", flush=True)
    pairs(rounds, ours=lambda: stage.backup("in-s3"), theirs=lambda: _pipe(stage, _aws(stage, aws)))


def memory(stage: Stage, total_bytes: int) -> None:
    """Row 3: the daemon's peak memory over idle while it backs up, by each source."""
    for cache in ("replicated", "saved", "in-s3"):
        stage.forget_peak()
        idle = stage.memory("VmRSS")
        stage.backup(cache)
        peak = stage.memory("VmHWM")
        print(
            f"    {total_bytes / 1e9:.1f} GB, {cache}: idle {idle / MIB:.0f} MiB, peak "
            f"{peak / MIB:.0f} MiB, over idle {(peak - idle) / MIB:.0f} MiB",
            flush=True,
        )


def _runs(program: str) -> bool:
    return subprocess.run([program, "--version"], check=False, capture_output=True).returncode == 0


def _dump(stage: Stage, target: Path) -> float:
    began = seconds()
    subprocess.run(
        [stage.cli, "-p", str(stage.port), "--rdb", str(target)], check=True, capture_output=True
    )
    took = seconds() - began
    target.unlink()
    return took


def _pipe(stage: Stage, upload: tuple[list[str], dict[str, str]]) -> float:
    command, more = upload
    began = seconds()
    dump = subprocess.Popen(
        [stage.cli, "-p", str(stage.port), "--rdb", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    packed = subprocess.Popen(["zstd", "-1", "-c"], stdin=dump.stdout, stdout=subprocess.PIPE)
    assert dump.stdout is not None
    assert packed.stdout is not None
    dump.stdout.close()
    sent = subprocess.run(
        command, stdin=packed.stdout, check=False, capture_output=True, env=os.environ | more
    )
    packed.stdout.close()
    took = seconds() - began
    assert (dump.wait(), packed.wait(), sent.returncode) == (0, 0, 0), sent.stderr
    return took


def _rcat(stage: Stage) -> tuple[list[str], dict[str, str]]:
    remote = (
        f":s3,provider=Rclone,endpoint='http://127.0.0.1:{stage.s3_port}',"
        f"access_key_id={KEY},secret_access_key={SECRET}:{BUCKET}/theirs.zst"
    )
    rclone = Path(sys.executable).parent / "rclone"
    return [str(rclone), "--config", str(stage.folder / "none"), "rcat", remote], {}


def _aws(stage: Stage, aws: str) -> tuple[list[str], dict[str, str]]:
    command = [aws, "--endpoint-url", f"http://127.0.0.1:{stage.s3_port}", "s3", "cp", "-"]
    more = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return [*command, f"s3://{BUCKET}/theirs.zst"], more
