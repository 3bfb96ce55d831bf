"""How fast Striate is beside what else is installed, measured side by side in one run."""

from striate.bench.benchmark import BENCHMARKS, Benchmark, Measured, bench

__all__ = ["BENCHMARKS", "Benchmark", "Measured", "bench"]
