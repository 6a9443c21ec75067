"""A report with known figures, for the tests of what is made of one."""

from animegan_tf.benchmark.options import BenchmarkOptions
from animegan_tf.benchmark.timing import summary


def row(network: str, runtime: str, times: list[float], kind: str = "style") -> dict:
    """Returns a row of the section runtimes; it needs 2 GMAC a picture, the machine does 100 a second."""
    found = summary(times)
    rate = 2000 / found["median"]
    return {
        "network": network, "kind": kind, "runtime": runtime, "gmacs": 2.0, "ms": found,
        "times": {str(number): value for number, value in enumerate(times)}, "gmacs_per_s": rate, "share": rate / 100,
    }  # fmt: skip


def size(*rows: dict, left_out: tuple[str, ...] = ()) -> dict:
    """Returns what `measure_size` does."""
    matmul = {"name": "NumPy 2048", "gmacs_per_s": 100.0, "all": {"NumPy 2048": 100.0}}
    said = {"started": "2026-11-22 10:00", "load_average": 0.1}
    return said | {"rows": list(rows), "matmul": matmul, "left_out": list(left_out)}


def report(**sections: dict) -> dict:
    """Returns a report of these sections with an idle machine."""
    said = {"started": "2026-11-22 10:00", "load_average": 0.2, "seconds_taken": 1.0, "finished": True}
    return {
        "command": "python tools/benchmark.py --anchors=published",
        "machine": {
            "processor": "A Processor", "instructions": ["AVX2"], "cores": 2, "memory_gb": 25.3,
            "system": "Linux x86_64", "python": "3.11.7",
            "packages": {"animegan-tf": "0.1.0", "numpy": "2.4.6"},
        },
        "settings": BenchmarkOptions().settings,
        "sections": {name: said | section for name, section in sections.items()},
        "targets": [],
    }  # fmt: skip


def whole_report() -> dict:
    """Returns a report with every section and every network that a target is about."""
    medium = size(
        row("hokusai", "TFLite float32", [50.0, 52.0, 51.0]),
        row("hokusai", "ONNX Runtime float32", [30.0, 30.0, 33.0]),
        row("hokusai", "TFLite int8", [10.0, 10.0, 20.0]),
        row("animeganv2_hayao", "TensorFlow float32", [700.0, 700.0, 1400.0], "system"),
        row("animeganv2_hayao", "TFLite dynamic_int8", [650.0, 600.0, 1200.0], "system"),
        row("imported v3 Shinkai", "TFLite float32", [500.0, 400.0], "system"),
        row("published v3", "TensorFlow float32", [450.0, 420.0], "published"),
        row("published v3", "TFLite float16", [1600.0, 1600.0], "published"),
        row("published v3-tiny", "ONNX Runtime float32", [120.0, 120.0, 240.0], "published"),
        left_out=("something large, TFLite float32",),
    )
    program = "animegan image"
    return report(
        runtimes={"sizes": {"512": medium, "1280x720": size(row("hokusai", "TFLite int8", [40.0, 50.0, 60.0]))}},
        memory={
            "rows": [
                {"network": "hokusai", "runtime": "TFLite int8", "size": "1920x1080", "peak_mb": 400.0},
                {"network": program, "runtime": "TFLite float32", "size": "7680x4320", "peak_mb": 1600.0},
                {"network": program, "runtime": "TFLite int8", "size": "7680x4320", "peak_mb": 700.0},
            ]
        },
        startup={
            "rows": [
                {"program": "python -c pass", "seconds": summary([0.02, 0.03])},
                {"program": f"{program} float32", "seconds": summary([0.5, 0.6, 0.7])},
            ]
        },
        pipeline={
            "recipe": "animeganv2_hayao", "image_size": 256, "batch_size": 12, "pictures": "given folders",
            "rows": [
                {"files": "decoded for each sample", "samples_per_s": summary([290.0, 300.0, 310.0])},
                {"files": "decoded once, kept in memory", "samples_per_s": summary([600.0])},
            ],
        },
        training={
            "recipe": "animeganv2_hayao", "image_size": 256, "batch_size": 12, "seconds": summary([60.0, 62.0]),
            "images_per_s": 0.197, "gmacs_per_s": 49.0, "share": 0.49,
            "gmacs": {
                "generator": 900.0, "discriminator": 800.0, "verdict": 140.0, "targets": 560.0, "features": 560.0,
            },
            "matmul": {"name": "TensorFlow 2048", "gmacs_per_s": 100.0, "all": {}},
        },
    )  # fmt: skip
