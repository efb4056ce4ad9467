"""Runs in an object store give the bytes of a local run despite faults, kills and second runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.run import run_lock
from tamis.pipelines.run.run_lock import RunLock
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import LATEST
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE, command, run, typed, write_recipe
from tests.stores.faulty import Faults, proxy
from tests.stores.runs import same, upload
from tests.stores.servers import SECRET


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """(recipe, input, undisturbed run) on disk."""
    folder = tmp_path_factory.mktemp("local")
    source = save(folder / "in", dealt(corpus(300, seed=8), 4, seed=1))
    recipe = write_recipe(folder, output=RECIPE["output"] | {"shard_bytes": 120_000})
    run(recipe, source, folder / "run")
    return recipe, source, folder / "run"


def equal(output: str, undisturbed: Path) -> None:
    """Asserts that data/ and decisions/ have the same bytes, and that no other file is left. (A store has no links.)"""
    same(output, undisturbed)
    manifest, other = (json.loads(storage.read_bytes(f"{run}/manifest.json")) for run in (output, undisturbed))
    assert manifest["corpus_root"] == other["corpus_root"]
    assert set(storage.names(output)) == {path.name for path in undisturbed.iterdir()} - {LATEST}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seaweed", "moto", "gcs", "azure"])
def test_a_run_in_a_store_is_the_run_on_disk(servers, connect, local, tmp_path, name):
    recipe, source, undisturbed = local
    bucket = connect(servers(name))
    out, err = typed(command(recipe, upload(source, bucket), f"{bucket}/run"))
    equal(f"{bucket}/run", undisturbed)
    assert SECRET not in out + err
    for file in ("manifest.json", "releases/000001/report.html"):
        assert SECRET.encode() not in storage.read_bytes(f"{bucket}/run/{file}")
    assert "sound: 300 records" in CliRunner().invoke(app, ["verify", f"{bucket}/run"]).stdout
    again = CliRunner().invoke(app, command(recipe, f"{bucket}/in", f"{bucket}/run")[1:])
    assert "nothing changed since release 1" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seaweed", "gcs", "azure"])
def test_two_workers_survive_a_store_that_fails_one_request_in_ten(servers, connect, local, name):
    recipe, source, undisturbed = local
    server, faults = servers(name), Faults(0.1, seed=11, stall=2.5)
    upload(source, connect(server))
    with proxy(server.port, faults) as port:
        bucket = connect(server.through(port))
        typed(command(recipe, f"{bucket}/in", f"{bucket}/faulty"))
    connect(server)
    equal(f"{bucket}/faulty", undisturbed)
    assert faults.requests > 150
    assert len(faults.counts) == len(faults.kinds)


@pytest.mark.slow
@pytest.mark.parametrize("marker", ["rated/", "releases/000001/decisions/part-", "releases/000001/data/phase-1/shard-"])
def test_killed_in_a_store_the_same_command_finishes_when_the_lease_has_ended(servers, connect, local, monkeypatch, marker):
    recipe, source, undisturbed = local
    monkeypatch.setenv("TAMIS_LEASE", "6")
    monkeypatch.setattr(run_lock, "LEASE_SECONDS", 6.0)
    bucket = connect(servers("seaweed"))
    output = f"{bucket}/killed-{marker.split('/')[-2]}"
    argv = command(recipe, upload(source, bucket), output)
    room, first = marker.rsplit("/", 1)
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 90
        while process.poll() is None and not any(name.startswith(first) for name in storage.names(f"{output}/{room}")):
            assert time.monotonic() < until
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert storage.exists(f"{output}/.lease")
    started = time.monotonic()
    run(recipe, f"{bucket}/in", output)
    assert time.monotonic() > started + 6
    equal(output, undisturbed)


@pytest.mark.parametrize("name", ["seaweed", "gcs", "azure"])
def test_two_runs_in_one_place_of_a_store(servers, connect, monkeypatch, name):
    monkeypatch.setattr(run_lock, "LEASE_SECONDS", 3.0)
    run = f"{connect(servers(name))}/claimed"
    with RunLock(run, "exclusive") as held:
        held.share()
        with pytest.raises(RunError, match="another run is using"), RunLock(run, "exclusive"):
            pass
        with RunLock(run, "shared"):  # its workers
            pass
        time.sleep(4)  # longer than a lease: it is renewed
        with pytest.raises(RunError, match="another run is using"), RunLock(run, "exclusive"):
            pass
    assert storage.names(run) == []
    with RunLock(run, "exclusive"):
        pass


def test_a_lease_without_renewal_expires_whatever_the_clocks_say(servers, connect, monkeypatch):
    monkeypatch.setattr(run_lock, "LEASE_SECONDS", 2.0)
    run = f"{connect(servers('seaweed'))}/dead"
    storage.write_bytes(f"{run}/.lease", b'{"host": "elsewhere", "beat": 7}')
    monkeypatch.setattr(time, "time", lambda: 0.0)  # a clock of 1970: none is read
    started = time.monotonic()
    with RunLock(run, "exclusive"):
        assert 2.0 <= time.monotonic() - started < 20.0
        assert b"elsewhere" not in storage.read_bytes(f"{run}/.lease")


def test_a_driver_that_lost_its_lease_stops(servers, connect, monkeypatch):
    monkeypatch.setattr(run_lock, "LEASE_SECONDS", 1.5)
    run = f"{connect(servers('seaweed'))}/lost"

    def work():
        with RunLock(run, "exclusive"):
            for _ in range(20):  # a renewal on its way may still be written after this
                storage.write_bytes(f"{run}/.lease", b"of a run that took it for dead")
                time.sleep(0.5)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for background jobs of a shell
    try:
        with pytest.raises(RunError, match="another run is using"):
            work()
    finally:
        signal.signal(signal.SIGINT, before)
    assert storage.read_bytes(f"{run}/.lease") == b"of a run that took it for dead"
