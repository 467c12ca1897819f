"""`edgelfm.load()` from a hub to a reply: plan, fetch, check, open, chat. The hub is on loopback, the model is tiny."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import edgelfm
from edgelfm.errors import DownloadFailed, ModelFileError, NotDownloaded, UnknownModel
from tests.local_hub import LocalHub
from tests.tiny import write_tiny_lfm2

REPO, FILE = "LiquidAI/LFM2.5-350M-GGUF", "LFM2.5-350M-Q4_0.gguf"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with LocalHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("EDGELFM_CONFIG", str(tmp_path / "config"))
        for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield running


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return write_tiny_lfm2(tmp_path / "tiny.gguf").read_bytes()


def test_the_first_load_downloads_and_the_second_does_not(
    hub: LocalHub, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.put(REPO, FILE, weights)
    with edgelfm.load("LFM2.5 350M", quantization="Q4_0", context=512, progress=False) as lfm:
        assert lfm.entry.id == "lfm2.5-350m"
        assert lfm.chat("Hello", max_tokens=4).usage.completion_tokens <= 4
    assert "US$10 million" in capsys.readouterr().err  # the licence, before the first download
    assert hub.served == len(weights)
    asked = len(hub.log)
    with edgelfm.load("lfm2.5-350m", quantization="Q4_0", context=512, offline=True):
        pass
    assert len(hub.log) == asked
    assert "US$10 million" not in capsys.readouterr().err


def test_a_fine_tune_on_the_hub_is_understood_before_it_is_downloaded(hub: LocalHub, weights: bytes) -> None:
    """A repository nobody has heard of: its header is read by range, planned, and only then fetched."""
    hub.put("someone/gardener-GGUF", "gardener-F16.gguf", weights)
    plan = edgelfm.plan("someone/gardener-GGUF")
    assert plan.chosen is not None
    assert plan.chosen.model.architecture.conv_cache == 3
    assert plan.chosen.memory.part("weights") > 400_000
    assert hub.served < len(weights)
    with edgelfm.load("someone/gardener-GGUF", context=512, progress=False) as lfm:
        assert lfm.chat("Hello", max_tokens=2).finish_reason in ("length", "stop")


def test_a_truncated_upload_never_reaches_the_runtime(hub: LocalHub, weights: bytes) -> None:
    hub.put(REPO, FILE, weights[: len(weights) // 2])
    with pytest.raises(ModelFileError, match=r"truncated|ends|bytes"):
        edgelfm.load("lfm2.5-350m", quantization="Q4_0", context=512, progress=False)


def test_offline_names_what_is_missing_and_how_to_get_it(hub: LocalHub) -> None:
    with pytest.raises(NotDownloaded, match=r"LFM2\.5-350M-Q4_0\.gguf") as caught:
        edgelfm.load("lfm2.5-350m", quantization="Q4_0", offline=True)
    assert "edgelfm pull" in caught.value.hint
    assert not hub.log


def test_no_network_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1:9") as caught:
        edgelfm.load("lfm2.5-350m", quantization="Q4_0", progress=False)
    assert "starter" in caught.value.hint or "offline" in caught.value.hint


def test_a_repository_that_is_not_there_is_told(hub: LocalHub) -> None:
    with pytest.raises((UnknownModel, FileNotFoundError), match="someone/nothing"):
        edgelfm.load("someone/nothing", progress=False)
