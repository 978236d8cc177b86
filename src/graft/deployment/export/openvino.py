"""OpenVINO, for Intel's processors; labels and description are in the ``rt_info`` of its XML file."""

import json
from pathlib import Path

import numpy as np

from graft.deployment.export.bundle_source import INPUT, OUTPUT, ExportSource
from graft.networks.engines.openvino_run import Run, cpu_settings, import_openvino

FILE = "model.xml"
USAGE = """\
import openvino
exact = {"INFERENCE_PRECISION_HINT": "f32"}             # the default is bf16 where the CPU has it, off by 1e-3
model = openvino.Core().compile_model("model.xml", "CPU", exact)
probabilities = model(images.astype("float32"))["probabilities"]   # RGB in 0..255
"""
INPUT_KIND, INPUT_RANGE = "float32", (0, 255)


def write(source: ExportSource, folder: Path) -> None:
    """Write the format into an existing folder."""
    ov = import_openvino()
    model = ov.Core().read_model(source.saved_model)
    model.input(0).get_tensor().set_names({INPUT})
    places = {name: place for place, output in enumerate(model.outputs) for name in output.get_names()}
    model.output(places.get(OUTPUT, 0)).get_tensor().set_names({OUTPUT})
    # Where OpenVINO's Model API looks for the labels of a classifier; they may hold no spaces there.
    labels: list[str] = []
    for name in source.classes:
        label = name.replace(" ", "_")
        while label in labels:
            label += "_"
        labels.append(label)
    model.set_rt_info("classification", ["model_info", "model_type"])
    model.set_rt_info(" ".join(labels), ["model_info", "labels"])
    model.set_rt_info(json.dumps(source.about, ensure_ascii=False), ["graft"])
    # Its default, half precision, keeps three digits only.
    ov.save_model(model, str(folder / FILE), compress_to_fp16=False)


def load(folder: Path) -> Run:
    """Return a function that runs what :func:`write` wrote.

    It takes images as :func:`graft.deployment.export.saved_model.load` describes them.
    """
    ov = import_openvino()
    model = ov.Core().compile_model(str(folder / FILE), "CPU", cpu_settings("LATENCY"))

    def run(images: np.ndarray) -> np.ndarray:
        return np.array(model(images.astype(np.float32))[OUTPUT])

    return run
