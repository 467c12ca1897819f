"""The graph that gives one row of logits gives the row that the whole one ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgelfm.backends.onnx.last_row import last_row_only
from edgelfm.backends.onnx.loading import load
from tests.backends.conftest import settings


def logits_of(session: Any, tokens: list[int]) -> np.ndarray:
    feed = {}
    for port in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in port.shape]
        kind = np.float16 if port.type == "tensor(float16)" else np.float32
        feed[port.name] = np.zeros([shape[0], shape[1], 0, 32] if len(shape) == 4 else shape, kind)
    feed |= {"input_ids": np.array([tokens]), "attention_mask": np.ones((1, len(tokens)), np.int64)}
    return session.run(["logits"], feed)[0]


@pytest.mark.parametrize("name", ["published", "half", "eight_bits", "dynamic", "genai"])
def test_one_row_is_left_and_it_is_the_last(name: str, request: pytest.FixtureRequest) -> None:
    import onnxruntime

    path = request.getfixturevalue(name)
    path = path if path.is_file() else path / "model.onnx"
    changed = last_row_only(path, "logits", {"num_logits_to_keep"})
    assert changed is not None
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(changed.folder))
    cpu = ["CPUExecutionProvider"]
    whole = logits_of(onnxruntime.InferenceSession(path, providers=cpu), [20, 21, 22, 23])
    last = logits_of(onnxruntime.InferenceSession(changed.graph, options, providers=cpu), [20, 21, 22, 23])
    assert (whole.shape, last.shape) == ((1, 4, 512), (1, 1, 512))
    # Where rounding looks at all rows together, the last one alone is rounded otherwise. The largest logit is above 5.
    assert np.abs(whole[:, -1:] - last).max() < {"half": 1e-2, "dynamic": 0.2}.get(name, 1e-4)


def test_weights_that_are_links_are_found_where_they_lie(published: Path, tmp_path: Path) -> None:
    """As in the Hub's cache, out of whose folders ONNX Runtime follows no link from a graph in memory."""
    import onnxruntime

    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for number, file in enumerate(sorted(published.parent.iterdir())):
        (blobs / str(number)).write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(blobs / str(number))
    changed = last_row_only(snapshot / published.name, "logits", set())
    assert changed is not None
    assert changed.folder == blobs
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(changed.folder))
    session = onnxruntime.InferenceSession(changed.graph, options, providers=["CPUExecutionProvider"])
    assert logits_of(session, [20, 21, 22, 23]).shape == (1, 1, 512)


def test_a_graph_that_lets_one_choose_stays_as_it_is(plain: Path) -> None:
    assert last_row_only(plain, "logits", {"num_logits_to_keep"}) is None


def test_what_is_rounded_for_others_too_is_left_whole(dynamic: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    model = onnx.load(dynamic, load_external_data=False)
    rounded = next(node for node in reversed(model.graph.node) if node.op_type == "DynamicQuantizeLinear").output[0]
    model.graph.node.append(helper.make_node("Identity", [rounded], ["also"]))
    onnx.save(model, tmp_path / "model.onnx")
    assert last_row_only(tmp_path / "model.onnx", "logits", set()) is None


def test_logits_made_in_another_way_are_left_alone_and_the_model_runs(published: Path, tmp_path: Path) -> None:
    import shutil

    import onnx
    from onnx import helper

    folder = shutil.copytree(published.parents[1], tmp_path / "other")
    model = onnx.load(folder / "onnx" / "model.onnx", load_external_data=False)
    model.graph.node[-1].output[0] = "wide"
    model.graph.node.append(helper.make_node("Relu", ["wide"], ["logits"]))
    onnx.save(model, folder / "onnx" / "model.onnx")
    assert last_row_only(folder / "onnx" / "model.onnx", "logits", set()) is None
    network = load(folder, settings()).network
    assert network.evaluate([20, 21, 22], logits=False)
    assert network.evaluate([23], logits=True)
    assert network.row.min() == 0
