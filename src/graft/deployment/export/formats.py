"""The formats that a model is exported in: each is the module of its name in this package.

Such a module has ``write(source, folder)``, ``load(folder)``, which returns a function from images uint8
``[N, S, S, 3]`` to probabilities ``[N, C]``, ``USAGE``, the lines of Python in the export's README, and ``INPUT_KIND``
and ``INPUT_RANGE`` of the pixels that it takes. Nothing heavy is imported here: the command line names the formats.
"""

# Behind each, the libraries that make it, whose versions are recorded.
FORMATS = {
    "saved_model": ("tensorflow",),
    "hub": ("tensorflow", "tensorflow-hub"),
    "tflite": ("tensorflow",),
    "onnx": ("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
    "openvino": ("openvino",),
}
