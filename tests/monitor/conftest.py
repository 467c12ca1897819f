"""Small trees of /sys and /proc, as machines show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """`tree({"sys/class/…": "text"})` writes files under one root and returns it; called again it changes them."""

    def write(files: dict[str, str | int]) -> Path:
        for name, content in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n", encoding="utf-8")
        (tmp_path / "root").mkdir(exist_ok=True)
        return tmp_path / "root"

    return write


#: A Raspberry Pi 5 in a small case, warm and held back by its power supply.
PI5: dict[str, str | int] = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": 81250,
    "sys/class/hwmon/hwmon0/name": "cpu_thermal",
    "sys/class/hwmon/hwmon0/temp1_input": 81250,
    "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled": "50005",
    **{f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": 1500000 for core in range(4)},
}
#: A Jetson Orin Nano: rails behind an INA3221, several zones.
JETSON: dict[str, str | int] = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": 52312,
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
    "sys/class/thermal/thermal_zone1/temp": 54125,
    "sys/class/thermal/thermal_zone2/type": "cv0-thermal",
    "sys/class/thermal/thermal_zone2/temp": -256000,
    "sys/class/hwmon/hwmon1/name": "ina3221",
    "sys/class/hwmon/hwmon1/in1_label": "VDD_IN",
    "sys/class/hwmon/hwmon1/in1_input": 5000,
    "sys/class/hwmon/hwmon1/curr1_input": 1840,
    "sys/class/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "sys/class/hwmon/hwmon1/in2_input": 5000,
    "sys/class/hwmon/hwmon1/curr2_input": 700,
    "sys/class/hwmon/hwmon1/in3_label": "NC",
    "sys/class/hwmon/hwmon1/in3_input": 5000,
    "sys/class/hwmon/hwmon1/curr3_input": 9999,
    "sys/class/hwmon/hwmon1/in7_label": "Sum of shunt voltages",
    "sys/class/hwmon/hwmon1/in7_input": 5000,
}
#: A laptop with an Intel processor, on battery.
LAPTOP: dict[str, str | int] = {
    "sys/class/thermal/thermal_zone0/type": "acpitz",
    "sys/class/thermal/thermal_zone0/temp": 27800,
    "sys/class/thermal/thermal_zone5/type": "x86_pkg_temp",
    "sys/class/thermal/thermal_zone5/temp": 64000,
    "sys/class/thermal/cooling_device0/type": "Processor",
    "sys/class/thermal/cooling_device0/cur_state": 0,
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": 12,
    "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count": 12,
    "sys/class/powercap/intel-rapl:0/name": "package-0",
    "sys/class/powercap/intel-rapl:0/energy_uj": 262_140_000_000,
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:0:0/name": "core",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": 77_000_000,
    "sys/class/powercap/intel-rapl:0:0/max_energy_range_uj": 262_143_328_850,
    "sys/class/powercap/intel-rapl:1/name": "psys",
    "sys/class/powercap/intel-rapl:1/energy_uj": 99_000_000,
    "sys/class/powercap/intel-rapl:1/max_energy_range_uj": 262_143_328_850,
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/status": "Discharging",
    "sys/class/power_supply/BAT0/voltage_now": 15_400_000,
    "sys/class/power_supply/BAT0/current_now": 1_100_000,
    "sys/class/power_supply/hidpp_battery_0/type": "Battery",
    "sys/class/power_supply/hidpp_battery_0/scope": "Device",
    "sys/class/power_supply/hidpp_battery_0/status": "Discharging",
    "sys/class/power_supply/hidpp_battery_0/power_now": 90_000_000,
}
#: A desktop with an AMD processor: no thermal zones, a sensor behind k10temp and another in the SSD.
DESKTOP: dict[str, str | int] = {
    "sys/class/hwmon/hwmon0/name": "nvme",
    "sys/class/hwmon/hwmon0/temp1_input": 71850,
    "sys/class/hwmon/hwmon3/name": "k10temp",
    "sys/class/hwmon/hwmon3/temp1_label": "Tctl",
    "sys/class/hwmon/hwmon3/temp1_input": 58375,
    "proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 4400.000\nprocessor\t: 1\ncpu MHz\t\t: 3600.000",
}
_MACHINES = {"pi5": PI5, "jetson": JETSON, "laptop": LAPTOP, "desktop": DESKTOP, "nothing": {}}


@pytest.fixture
def machine(tree: Callable[..., Path]) -> Callable[[str], Path]:
    """`machine("pi5")`: the root of a recorded machine: pi5, jetson, laptop, desktop, nothing."""
    return lambda name: tree(_MACHINES[name])
