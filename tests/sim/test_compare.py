"""The comparison with software on a small network: equal states, deterministic counts, and rows for what is missing."""

import dataclasses
import json
import platform
import shutil

import numpy as np
import pytest
from bitprop.hw.program import CapacityError, compile_network
from bitprop.model.config import NetworkConfig
from bitprop.model.initial import initial_state
from bitprop.sim.compare import cortex, host, programs, soc, table
from bitprop.sim.compare.accelerator import fit
from bitprop.sim.compare.image import Layout, pack, unpack
from bitprop.sim.compare.programs import KEPT_WIDTHS, Missing
from bitprop.sim.compare.report import write_report
from bitprop.sim.compare.table import NETWORKS, Settings, compare
from bitprop.sim.compare.work import Work, all_triggered, network_of, real_training
from bitprop.synth.boards import find_board
from typer.testing import CliRunner

from bitprop.cli import app

SMALL = (40, 16, 8)

# Widths that are no multiples of words or blocks, groups across words, deep, few classes and many, every period.
ODD_NETWORKS = [
    NetworkConfig(layers=(50, 33, 7, 40), classes=3, counter_bits=3, reinforcement=4, groups=(5, 3, 7)),
    NetworkConfig(layers=(300, 20, 70), classes=3, counter_bits=4, reinforcement=64, groups=(5, 70)),
    NetworkConfig(layers=(520, 160), classes=3, counter_bits=3, reinforcement=256),
    NetworkConfig(layers=(520, 16, 600, 30), classes=70, counter_bits=5, reinforcement=0, groups=(10, 100, 30)),
    NetworkConfig(layers=(1100, 16, 3), classes=3, counter_bits=2, reinforcement=1),
    NetworkConfig(layers=(70, 40, 9), classes=4, gates=(0, 3), rank_shifts=(0, 0)),
]


@pytest.fixture(scope="module")
def works():
    network = network_of(SMALL)
    return all_triggered(network, 8), real_training(network, 8)


def assert_equal(run, work):
    views = run.layout.views(run.memory)
    assert run.layout.state(run.memory).digest() == work.digest
    np.testing.assert_array_equal(views["trained_predictions"], work.trained_predictions)
    np.testing.assert_array_equal(views["inferred_predictions"], work.inferred_predictions)
    assert [int(views[name]) for name in ("triggered", "row_updates", "saturations")] == [
        work.triggered, work.row_updates, work.saturations]


def test_works_are_what_they_say(works):
    every, real = works
    assert every.trigger_rate == 1 and every.digest != every.start.digest()
    assert 0 < real.trigger_rate < 1 and real.start.samples > 1000


@pytest.mark.parametrize("core, least, most", [("vexriscv", 2000, 6000), ("picorv32", 4000, 15000)])
def test_soft_cores_train_the_same_bits_in_the_same_cycles(works, core, least, most):
    for work in works:
        run = soc.run_soc(core, work)
        assert run.kept, "the kept program is stale: python -m bitprop.sim.compare.programs"
        assert_equal(run, work)
        assert run.counts == soc.run_soc(core, work).counts
    cycles = sum(soc.run_soc(core, works[0]).counts[name] for name in ("forward", "backward", "update")) / 64
    assert least < cycles < most


def test_cortex_m4_trains_the_same_bits(works):
    for work in works:
        run = cortex.run_cortex(work)
        assert run.kept
        assert_equal(run, work)
        assert run.counts == cortex.run_cortex(work).counts
        assert 200 * 64 < run.counts["forward"] < 3000 * 64


@pytest.mark.parametrize("widths", NETWORKS, ids=lambda widths: "-".join(map(str, widths)))
def test_the_networks_that_are_compared_end_in_the_same_state(widths):
    work = all_triggered(network_of(widths), 32)
    assert len(work.labels) == 64
    for core in soc.CORES:
        assert_equal(soc.run_soc(core, work), work)
    assert_equal(cortex.run_cortex(work), work)
    if platform.machine() == "x86_64":
        for kernel in host.kernels_here():
            assert host.run_host(kernel, work)[0].digest() == work.digest, kernel


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels for x86-64")
@pytest.mark.parametrize("network", ODD_NETWORKS, ids=lambda network: "-".join(map(str, network.layers)))
def test_host_kernels_train_the_same_bits(network):
    for batch in (1, 32):
        work = all_triggered(network, batch, samples=160)
        for checked in (work, work.in_batches(100)):
            for kernel in host.kernels_here():
                state, trained, inferred, statistics = host.run_host(kernel, checked)
                assert state.digest() == checked.digest, kernel
                np.testing.assert_array_equal(trained, checked.trained_predictions)
                np.testing.assert_array_equal(inferred, checked.inferred_predictions)
                assert statistics == (checked.triggered, checked.row_updates, checked.saturations)


def test_every_kept_program_is_of_these_sources():
    index = json.loads(programs.INDEX.read_text())
    for machine in (programs.RV32IM, programs.CORTEX_M4):
        for widths in KEPT_WIDTHS:
            assert programs.program(machine, network_of(widths)).kept
    assert set(index) == {path.name for path in programs.KEPT.glob("*.bin")}


def test_other_programs_are_compiled_or_refused(tmp_path):
    network = NetworkConfig(layers=(41, 16, 8), classes=10)
    for machine in (programs.RV32IM, programs.CORTEX_M4):
        if shutil.which(f"{machine.compiler}-gcc") is None:
            with pytest.raises(Missing, match=machine.package):
                programs.program(machine, network, folder=tmp_path)
        else:
            built = programs.program(machine, network, folder=tmp_path)
            assert not built.kept and 1000 < len(built.binary) < programs.MEMORY


def test_state_goes_through_the_image():
    network = NetworkConfig(layers=(70, 33, 5), classes=3, counter_bits=4)
    rng = np.random.default_rng(3)
    state = initial_state(network)
    for counters in state.counters:
        counters[:] = rng.integers(-8, 8, counters.shape)
    layout = Layout(network=network, samples=2)
    memory = layout.fill(state, np.ones((2, 70), dtype=np.int8), np.array([0, 2]), batch=1, infer=2)
    assert layout.state(memory).digest() == state.digest()
    bits = rng.integers(0, 2, (3, 70))
    np.testing.assert_array_equal(unpack(pack(bits), 70), bits)


def test_an_array_is_enlarged_for_a_network_or_refused():
    board = find_board("ulx3s-85f-small")
    network = network_of((784, 256, 256))
    with pytest.raises(CapacityError):
        compile_network(network, initial_state(network).classifier, board.config)
    fitted = fit(board, network, initial_state(network).classifier)
    assert fitted.changes["tiles"] == fitted.array.tiles == 1280  # 49 · 16 + 16 · 16 + 16, and then eighths of 2^11
    compile_network(network, initial_state(network).classifier, fitted.array)
    with pytest.raises(Exception, match="too large for the"):
        fit(find_board("icebreaker"), network, initial_state(network).classifier)


@pytest.fixture
def settings():
    return Settings(networks=(SMALL,), targets=("vexriscv", "cortex-m4", "numpy"), boards=("icebreaker",))


def test_table_and_report(settings, tmp_path):
    result = compare(settings)
    assert result["failures"] == []
    for work in result["networks"][0]["works"]:
        rows = {row["target"]: row for row in work["rows"]}
        assert set(rows) == {"accelerator", "VexRiscv", "Cortex-M4", "numpy"}
        assert {row["state_hash"] for row in rows.values()} == {work["state_hash"]}
        assert rows["VexRiscv"]["cycles_ratio"] == pytest.approx(
            rows["VexRiscv"]["trained"] / rows["accelerator"]["trained"])
        assert sum(rows["VexRiscv"]["phases"].values()) == pytest.approx(rows["VexRiscv"]["trained"])
        assert rows["VexRiscv"]["lut4"] > 1000 and rows["VexRiscv"]["clock_mhz"] > 10
        assert rows["Cortex-M4"]["unit"] == "instructions"
        assert rows["numpy"]["microseconds"] > 0
    page = write_report(result, tmp_path).read_text()
    assert page.count("data:image/svg+xml;base64,") == 2 and "How this is measured" in page
    assert len(list(tmp_path.glob("cycles-*.png"))) == 2


def test_a_flipped_bit_fails_the_comparison(settings, monkeypatch):
    def flipped(work, folder):
        run = cortex.run_cortex(work, folder)
        run.layout.views(run.memory)["counters_0"][3, 0, 1] ^= 4
        return run

    monkeypatch.setattr(table, "run_cortex", flipped)
    monkeypatch.setattr("bitprop.sim.compare.cli.Settings",
                        lambda **options: Settings(**options | {"boards": ("icebreaker",)}))
    done = CliRunner().invoke(app, ["compare", "--layers", "40,16,8", "--targets", "cortex-m4", "--json"])
    assert done.exit_code == 1
    assert "Cortex-M4 on 40-16-8" in done.stderr and len(json.loads(done.stdout)["failures"]) == 2


def test_what_is_missing_gets_a_row(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(programs.shutil, "which", lambda name: None)
        with pytest.raises(Missing, match="apt install gcc-riscv64-unknown-elf"):
            programs.program(programs.RV32IM, NetworkConfig(layers=(41, 16, 8), classes=10))

    def missing(*arguments):
        raise Missing("pip install something")

    for name in ("run_soc", "run_cortex", "torch_epochs", "larq_epochs", "run_host", "rtl_run"):
        monkeypatch.setattr(table, name, missing)
    result = compare(Settings(networks=(SMALL,), targets=("vexriscv", "cortex-m4", "host", "torch", "larq"),
                              boards=("icebreaker",)))
    assert result["failures"] == []
    for work in result["networks"][0]["works"]:
        assert {row["how"].split("  ")[0] for row in work["rows"]} == {"pip install something"}


@pytest.mark.parametrize("arguments, message", [
    (["--layers", "256,x"], "--layers"),
    (["--targets", "abacus"], "targets must be of"),
    (["--layers", "5"], "layers must be"),
    (["--groups", "16,16"], "groups must come with one network, not 3"),
    (["--layers", "40,16,8", "--groups", "16"], "groups must have one entry a layer (2)"),
])
def test_mistakes_get_a_message(arguments, message):
    done = CliRunner().invoke(app, ["compare", *arguments])
    assert done.exit_code == 1 and message in done.stderr


def test_groups_are_the_network_s():
    preset = network_of((256, 64, 64))
    assert network_of((256, 64, 64), groups=(64, 8)) == dataclasses.replace(preset, groups=(64, 8))


def test_work_is_the_models_own(works):
    from bitprop.model.step import train_batch

    work, state = works[0], works[0].start.copy()
    for first in range(0, 64, work.batch):
        train_batch(work.network, state, work.inputs[first:first + work.batch], work.labels[first:first + work.batch])
    assert state.digest() == work.digest
    assert isinstance(work, Work)
