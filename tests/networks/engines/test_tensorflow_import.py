import gc
import importlib
import subprocess
import sys

import pytest

from graft.networks.engines.tensorflow_import import UNUSED, hidden, import_tensorflow, without_collecting


def test_what_keras_has_no_use_for_here_is_not_imported_and_can_be_afterwards() -> None:
    code = (
        "import sys; from graft.networks.engines.tensorflow_import import import_tensorflow; import_tensorflow(); "
        f"print(*[name for name in {UNUSED!r} if name in sys.modules]); "
        "import matplotlib.pyplot, scipy.stats, sklearn.linear_model; import tensorflow as tf; "
        "print(int(tf.constant(6) * 7))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "42"]


def test_case_15_keras_has_its_own_defaults_whatever_an_account_says() -> None:
    import_tensorflow()
    from keras import config

    config.set_floatx("float16")
    config.set_epsilon(1e-2)
    config.set_image_data_format("channels_first")
    import_tensorflow()
    assert (config.floatx(), config.epsilon(), config.image_data_format()) == ("float32", 1e-7, "channels_last")


def test_a_package_is_hidden_for_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with hidden(["this"]), pytest.raises(ImportError):
        importlib.import_module("this")
    assert "this" not in sys.modules


def test_what_was_imported_before_stays() -> None:
    with hidden(["json"]):
        assert importlib.import_module("json") is sys.modules["json"]
    assert sys.modules["json"] is not None


def test_a_block_that_fails_hides_nothing_any_longer() -> None:
    with pytest.raises(RuntimeError), hidden(["graft_is_no_such_package"]):
        raise RuntimeError
    assert "graft_is_no_such_package" not in sys.modules


def test_the_collector_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gc.isenabled()
    frozen: list[bool] = []  # by calls: of the objects that are frozen some may go meanwhile, by another thread
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    with without_collecting():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert frozen == []  # nothing was imported
    gc.disable()
    try:
        with without_collecting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
