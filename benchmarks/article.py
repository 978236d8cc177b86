"""The peer of experiment 1: the article's script as it was written, with TensorFlow alone.

Train and test of rock-paper-scissors are put together, shuffled and divided into 600 for validation, 400 for test and
the rest; images are mapped one at a time, divided by 255 and resized; ``cache()`` gives back a data set that nobody
takes, so that every epoch reads every file again; a frozen MobileNetV2 feature vector from TensorFlow Hub, Dropout 0.5
and one dense layer are trained for five epochs, the images going through the whole network in each of them. Then come
the confusion matrix of the test images, the model saved and loaded again, and its predictions once more: graft, too,
answers from what it has written.

TensorFlow Datasets decodes in parallel, and so does this. Its shuffle, drawn anew in every pass, would move images
between the three parts from one epoch to the next; here it is drawn once.

    python -m benchmarks.article data --hub DIRECTORY
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

IMAGES, VALIDATION, TEST, BATCH, EPOCHS, SIZE = 2892, 600, 400, 64, 5, 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hub", help="MobileNetV2's feature vector: a handle or a folder")
    parser.add_argument("--weights", default="imagenet", help="without --hub: of Keras' MobileNetV2, a file")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    import tensorflow as tf

    tf.random.set_seed(arguments.seed)
    paths = sorted(map(str, [*arguments.folder.glob("*/*.*"), *arguments.folder.glob("*/*/*.*")]))
    names = [Path(path).parent.name for path in paths]
    classes = sorted(set(names))

    def read(path: Any, label: Any) -> Any:
        return tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False), label

    def prepare(image: Any, label: Any) -> Any:
        image = tf.image.resize(tf.cast(image, tf.float32) / 255.0, (SIZE, SIZE))
        return image, tf.one_hot(label, len(classes))

    images = tf.data.Dataset.from_tensor_slices((paths, [classes.index(name) for name in names]))
    images = images.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    images = images.shuffle(len(paths), seed=arguments.seed, reshuffle_each_iteration=False)
    share = min(1, len(paths) / IMAGES)  # of fewer images, parts in proportion
    first, second = round(share * VALIDATION), round(share * TEST)
    parts = [images.take(first), images.skip(first).take(second), images.skip(first + second)]
    parts = [part.map(prepare) for part in parts]
    for part in parts:
        part.cache()  # as written: what it gives back is thrown away
    validation, test, train = (part.batch(BATCH) for part in parts)

    model = _with_hub(arguments.hub, len(classes)) if arguments.hub else _with_keras(arguments.weights, len(classes))
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, validation_data=validation, epochs=EPOCHS, verbose=0)
    loss, accuracy = model.evaluate(test, verbose=0)
    labels = [int(label) for _, batch in test for label in tf.argmax(batch, axis=1)]
    confusion = tf.math.confusion_matrix(labels, model.predict(test, verbose=0).argmax(axis=1))
    with tempfile.TemporaryDirectory() as place:
        again = _saved_and_loaded(model, Path(place), arguments.hub)
        repeated = again.predict(test, verbose=0).argmax(axis=1)
    assert (tf.math.confusion_matrix(labels, repeated).numpy() == confusion.numpy()).all()
    print(json.dumps({"images": len(paths), "accuracy": float(accuracy), "log_loss": float(loss)}))


def _with_hub(handle: str, classes: int) -> Any:
    """Return the article's model: Keras 2, which is what TensorFlow Hub's layer belongs to."""
    import tensorflow_hub as hub
    import tf_keras

    return tf_keras.Sequential(
        [
            hub.KerasLayer(handle, input_shape=(SIZE, SIZE, 3), trainable=False),
            tf_keras.layers.Dropout(0.5),
            tf_keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def _saved_and_loaded(model: Any, place: Path, hub: str | None) -> Any:
    """Write the model and read it again; Keras 2 writes a SavedModel, which holds the module."""
    if hub:
        import tf_keras

        model.save(place / "model")
        return tf_keras.models.load_model(place / "model")
    import keras

    model.save(place / "model.keras")
    return keras.models.load_model(place / "model.keras")


def _with_keras(weights: str, classes: int) -> Any:
    """Return the same network where there is no module at hand; it wants -1..1."""
    import keras

    network = keras.applications.MobileNetV2(
        include_top=False, pooling="avg", weights=weights, input_shape=(SIZE, SIZE, 3)
    )
    network.trainable = False
    return keras.Sequential(
        [
            keras.layers.Rescaling(2.0, offset=-1.0),
            network,
            keras.layers.Dropout(0.5),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


if __name__ == "__main__":
    main()
