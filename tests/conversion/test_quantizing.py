"""llama.cpp's quantizer, with and without an importance matrix, and how it is stopped."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from edgelfm.conversion.imatrix import read_imatrix
from edgelfm.conversion.quantizing import quantize, require_known
from edgelfm.errors import BackendError, ModelFileError, UnknownQuantization
from edgelfm.models.gguf import read_header
from edgelfm.models.tensors import tensors
from tests.conversion.conftest import write_gguf_of

NAME = "blk.0.shortconv.in_proj.weight"


@pytest.fixture(scope="module")
def base(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf_of(tiny_source, tmp_path_factory.mktemp("base") / "F32.gguf")


def _importances() -> np.ndarray:
    return np.geomspace(1e-3, 1e3, 64).astype(np.float32)


def _gguf_matrix(path: Path, calls: int = 5) -> Path:
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_type("imatrix")
    writer.add_tensor(f"{NAME}.in_sum2", (_importances() * calls)[None])
    writer.add_tensor(f"{NAME}.counts", np.full((1, 1), calls, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _dat_matrix(path: Path, calls: int = 5, name: str = NAME) -> Path:
    values = _importances() * calls
    entry = struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values)) + values.tobytes()
    path.write_bytes(struct.pack("<i", 1) + entry)
    return path


def _in_proj(path: Path) -> bytes:
    return next(one for one in gguf.GGUFReader(path).tensors if one.name == NAME).data.tobytes()


@pytest.mark.parametrize("name", ["Q4_0", "Q4_K_M", "Q8_0"])
def test_types_are_those_that_were_predicted(base: Path, tmp_path: Path, name: str) -> None:
    heard: list[float] = []
    quantize(base, tmp_path / "made.gguf", name, None, heard.append)
    made = {one.name: one.type for one in read_header(tmp_path / "made.gguf").tensors}
    from edgelfm.models.from_header import architecture_of

    assert made == {one.name: one.type for one in tensors(architecture_of(read_header(base)), name)}
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


@pytest.mark.parametrize("write", [_gguf_matrix, _dat_matrix])
def test_both_forms_of_an_importance_matrix_are_read(tmp_path: Path, write) -> None:
    found = read_imatrix(write(tmp_path / "matrix"))
    np.testing.assert_allclose(found[NAME], _importances(), rtol=1e-5)


def test_an_importance_matrix_changes_what_is_kept(base: Path, tmp_path: Path) -> None:
    quantize(base, tmp_path / "plain.gguf", "Q4_0", None, lambda _: None)
    quantize(base, tmp_path / "weighed.gguf", "Q4_0", _gguf_matrix(tmp_path / "matrix.gguf"), lambda _: None)
    assert _in_proj(tmp_path / "plain.gguf") != _in_proj(tmp_path / "weighed.gguf")


def test_an_importance_matrix_of_another_model_is_refused(base: Path, tmp_path: Path) -> None:
    matrix = _dat_matrix(tmp_path / "matrix", name="blk.9.gadget.weight")
    with pytest.raises(ModelFileError, match="of another model") as caught:
        quantize(base, tmp_path / "made.gguf", "Q4_0", matrix, lambda _: None)
    assert "--calibrate" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"\x05\0\0\0", b"GGUF", b"\x01\0\0\0\xff\xff\xff\x7f", b"\0\0\0\0"])
def test_a_broken_importance_matrix_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "matrix").write_bytes(content)
    with pytest.raises(ModelFileError):
        read_imatrix(tmp_path / "matrix")


def test_quantizations_are_known_by_name() -> None:
    require_known(["Q4_0", "F16", "IQ4_NL"], imatrix=False)
    require_known(["IQ2_XXS"], imatrix=True)
    for name in ("Q4_9", "NVFP4"):
        with pytest.raises(UnknownQuantization, match=name):
            require_known([name], imatrix=True)
    with pytest.raises(UnknownQuantization, match="importance matrix"):
        require_known(["IQ2_XXS"], imatrix=False)


def test_the_quantizer_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "base.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(BackendError, match="could not quantize to Q4_0: this GGUF file is version"):
        quantize(tmp_path / "base.gguf", tmp_path / "made.gguf", "Q4_0", None, lambda _: None)
