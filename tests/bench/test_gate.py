"""The gate: it waits for a cool and quiet machine, not for ever, and says what it waited for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.bench.gate import Gate

ZONE = "sys/class/thermal/thermal_zone0"
PI = "proc/device-tree/model"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


class Machine:
    """Two cores in a folder. Time passes only when somebody waits, and things happen as the script says."""

    def __init__(self, tree: Callable[..., Path], files: dict[str, str | int], busy: float = 0.0) -> None:
        self._tree, self.now, self.busy = tree, 0.0, busy
        self.happens: list[tuple[float, Callable[[], None]]] = []
        self._ticks = [0.0, 0.0]  # busy and idle
        self.root = tree(files)
        self._write()

    def change(self, files: dict[str, str | int]) -> None:
        self._tree(files)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._ticks[0] += 100 * seconds * self.busy
        self._ticks[1] += 100 * seconds * (1 - self.busy)
        self._write()
        for at, event in [one for one in self.happens if one[0] <= self.now]:
            self.happens.remove((at, event))
            event()

    def _write(self) -> None:
        line = f"{self._ticks[0]:.0f} 0 0 {self._ticks[1]:.0f} 0 0 0 0 0 0"
        self._tree({"proc/stat": f"cpu  {line}\ncpu0 {line}\ncpu1 {line}"})

    def gate(self, patience: float = 60, told: Callable[[str], None] = lambda _: None) -> Gate:
        return Gate(patience, root=self.root, cpus=frozenset({0, 1}), told=told, clock=lambda: self.now,
                    wait=self.wait, own=lambda: 0.0)  # fmt: skip


def test_a_quiet_cool_machine_is_ready_at_once(tree: Callable[..., Path]) -> None:
    machine = Machine(tree, {f"{ZONE}/type": "x86_pkg_temp", f"{ZONE}/temp": 45000}, busy=0.1)
    conditions = machine.gate().enter()
    assert conditions.ready
    assert conditions.waited_seconds == 0
    assert conditions.celsius == 45
    assert conditions.load_per_core == pytest.approx(0.1, abs=0.03)
    assert conditions.throttled is None
    assert conditions.reason == ""
    assert machine.now < 1


def test_it_waits_until_the_machine_has_cooled(tree: Callable[..., Path]) -> None:
    machine = Machine(tree, {f"{ZONE}/type": "cpu-thermal", f"{ZONE}/temp": 82000})
    machine.happens = [(12.0, lambda: machine.change({f"{ZONE}/temp": 69000}))]
    told: list[str] = []
    gate = machine.gate(told=told.append)
    conditions = gate.enter()
    assert conditions.ready
    assert 12 <= conditions.waited_seconds < 14
    assert "82 °C" in conditions.reason
    assert told[0] == "cpu-thermal at 82 °C, 70 °C at most"
    assert gate.patience == pytest.approx(60 - conditions.waited_seconds)


def test_patience_is_for_all_repetitions_together(tree: Callable[..., Path]) -> None:
    machine = Machine(tree, {}, busy=0.9)
    gate = machine.gate(patience=10)
    first, second = gate.enter(), gate.enter()
    assert not first.ready
    assert 10 <= first.waited_seconds < 11
    assert "90% of the processor" in first.reason
    assert not second.ready
    assert second.waited_seconds == 0


@pytest.mark.parametrize(("celsius", "ready"), [(79, True), (80, False)])
def test_a_raspberry_pi_may_be_warmer(tree: Callable[..., Path], celsius: int, ready: bool) -> None:
    machine = Machine(
        tree, {PI: "Raspberry Pi 5 Model B Rev 1.0\0", f"{ZONE}/type": "cpu", f"{ZONE}/temp": celsius * 1000}
    )
    assert machine.gate(patience=0).enter().ready is ready


@pytest.mark.parametrize(("bits", "ready"), [("0", True), ("f0000", True), ("50005", False), ("2", False)])
def test_bits_of_the_past_do_not_hold_it_up(tree: Callable[..., Path], bits: str, ready: bool) -> None:
    conditions = Machine(tree, {PI: "Raspberry Pi 4", THROTTLED: bits}).gate(patience=0).enter()
    assert conditions.ready is ready
    assert conditions.throttled is not ready


def test_a_machine_that_says_nothing_is_measured_as_it_is(tmp_path: Path) -> None:
    conditions = Gate(60, root=tmp_path, wait=lambda _: None).enter()
    assert conditions.ready
    assert (conditions.celsius, conditions.load_per_core, conditions.throttled) == (None, None, None)
